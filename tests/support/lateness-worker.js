// How late this browser comes at worst to what is to be done each 10 ms: sound is made and played by threads like this
// one. Each message is answered with the milliseconds since the last one.

const PERIOD_MS = 10;

let last = performance.now();
let worst = 0;

function look() {
  const now = performance.now();
  worst = Math.max(worst, now - last - PERIOD_MS);
  last = now;
}

setInterval(look, PERIOD_MS);
onmessage = () => {
  look();
  postMessage(worst);
  worst = 0;
};
