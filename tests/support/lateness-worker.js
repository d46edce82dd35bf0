// Measures the maximum lateness of a 10 ms timer, because audio is processed by threads like this one. Each message is
// answered with the maximum, in milliseconds, since the previous message.

const PERIOD_MS = 10;

let last = performance.now();
let worst = 0;

function check() {
  const now = performance.now();
  worst = Math.max(worst, now - last - PERIOD_MS);
  last = now;
}

setInterval(check, PERIOD_MS);
onmessage = () => {
  check();
  postMessage(worst);
  worst = 0;
};
