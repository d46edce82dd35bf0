// A WHIP or WHEP client, or an endpoint for both, on a foreign WebRTC stack.
//
// Its first line of input is the task, in JSON:
//
//   {"stack": "werift", "role": "play", "url": "http://…/whep", "token": "…", "video": true}
//   {"stack": "libdatachannel", "role": "publish", "url": "http://…/whip", "frames": ["…", "…"]}
//   {"stack": "libdatachannel", "role": "serve", "frames": ["…", "…"]}
//
// `frames` are Opus frames of 20 ms in base64; `tone` is what a stack with an encoder of its own sends. It prints a JSON
// line when it is connected or serves, then one per command, which are JSON, too: listen, state, stop.
"use strict";

const http = require("node:http");
const readline = require("node:readline");

const FRAME_MS = 20;
const TIMEOUT_MS = 10000;

const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let task = null;
let Peer = null;
let frames = null;
let peer = null; // The client's, or the one that publishes to the endpoint.
let session = null;

async function connect() {
  peer = new Peer({ ...task, sends: task.role === "publish" });
  const offer = await peer.offer();
  const headers = { "Content-Type": "application/sdp", ...authorization() };
  const response = await fetch(task.url, { method: "POST", headers, body: offer });
  const answer = await response.text();
  if (response.status !== 201) return { status: response.status, answer, offer };
  session = new URL(response.headers.get("Location"), response.url).href;
  await peer.accept(answer);
  for (const end = Date.now() + TIMEOUT_MS; peer.state !== "connected"; await sleep(10)) {
    if (Date.now() > end) return { status: 201, state: peer.state, answer, offer };
  }
  if (peer.sends) play(peer);
  return { status: 201, state: peer.state, answer, offer };
}

// Sends a frame every 20 ms, without drift.
async function play(sender) {
  const start = performance.now();
  for (let count = 0; !sender.closed; count++) {
    await sleep(Math.max(0, start + count * FRAME_MS - performance.now()));
    if (!sender.closed) sender.send(frames[count % frames.length]);
  }
}

// One session at a time at /whip and one at /whep.
function serve() {
  const sessions = {};
  const server = http.createServer(async (request, response) => {
    if (request.method === "DELETE") {
      await close(sessions[request.url]);
      return response.writeHead(200).end();
    }
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const sends = request.url === "/whep";
    const own = new Peer({ ...task, sends });
    if (!sends) peer = own;
    const location = `${request.url}/1`;
    sessions[location] = own;
    const answer = await own.answer(Buffer.concat(chunks).toString());
    response.writeHead(201, { "Content-Type": "application/sdp", Location: location }).end(answer);
    while (own.state !== "connected" && !own.closed) await sleep(10);
    if (sends) play(own);
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve({ url: `http://127.0.0.1:${server.address().port}` }));
  });
}

async function close(ended) {
  ended.closed = true;
  await ended.close();
}

function authorization() {
  return task.token ? { Authorization: `Bearer ${task.token}` } : {};
}

const commands = {
  // What is heard in so many seconds: the payloads of RTP packets, or samples where the stack decodes.
  async listen({ seconds }) {
    peer.heard.length = 0;
    await sleep(1000 * seconds);
    return { heard: peer.heard.map((one) => one.toString("base64")), ...peer.format };
  },
  async state() {
    return { state: peer.state };
  },
  // Closes the connection first, as OBS does; answers with the status of DELETE.
  async stop({ pause_s }) {
    await close(peer);
    await sleep(1000 * pause_s);
    return { status: (await fetch(session, { method: "DELETE", headers: authorization() })).status };
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const message = JSON.parse(line);
    if (task !== null) {
      say(await commands[message.do](message));
      continue;
    }
    task = message;
    ({ Peer } = require(`./${task.stack}.cjs`));
    frames = (task.frames ?? [""]).map((frame) => Buffer.from(frame, "base64"));
    say(await (task.role === "serve" ? serve() : connect()));
  }
  process.exit(0); // The native stacks keep threads.
}

main();
