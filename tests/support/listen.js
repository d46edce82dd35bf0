// A WHEP player for tests that records what it plays: play(), record() and stats(), driven from Python.
//
// Deliberately independent of the project's page, so that it does not share its bugs.

const SAMPLE_RATE_HZ = 48000;

class Listener {
  constructor() {
    this.connection = null;
    this.session = null;
    this.audio = null;
    this.recordings = new Set();
    this.clock = new Worker("lateness-worker.js");
  }

  // Resolves with the status if it is not 201, otherwise once connected.
  async play(url, { stereo = true, nack = false, token = null, link = null, timeoutMs = 10000 } = {}) {
    const connection = new RTCPeerConnection();
    this.connection = connection;
    connection.addTransceiver("audio", { direction: "recvonly" });
    const track = new Promise((resolve) => connection.addEventListener("track", (event) => resolve(event.track)));
    const offer = await connection.createOffer();
    const heard = stereo ? askForStereo(offer.sdp) : offer.sdp;
    const sdp = nack ? offerNacks(heard) : heard;
    await connection.setLocalDescription({ type: "offer", sdp });
    const headers = { "Content-Type": "application/sdp" };
    if (token !== null) headers.Authorization = `Bearer ${token}`;
    const response = await fetch(url, { method: "POST", headers, body: sdp });
    const body = await response.text();
    if (response.status !== 201) {
      connection.close();
      return { status: response.status, body, retryAfter: response.headers.get("Retry-After") };
    }
    this.session = new URL(response.headers.get("Location"), response.url).href;
    await connection.setRemoteDescription({ type: "answer", sdp: link ? over(link, body) : body });
    await within(timeoutMs, "connected", connected(connection));
    await this.listen(await track);
    return { status: 201, body, offer: sdp, session: this.session };
  }

  async listen(track) {
    const stream = new MediaStream([track]);
    // Chromium feeds a remote track to Web Audio only while a media element plays it as well.
    document.getElementById("sink").srcObject = stream;
    this.audio = new AudioContext({ sampleRate: SAMPLE_RATE_HZ });
    await this.audio.audioWorklet.addModule("capture-worklet.js");
    const capture = new AudioWorkletNode(this.audio, "capture", { channelCount: 2, channelCountMode: "explicit" });
    capture.port.onmessage = ({ data }) => this.recordings.forEach((recording) => recording.push(data));
    this.audio.createMediaStreamSource(stream).connect(capture).connect(this.audio.destination);
    await this.audio.resume();
  }

  // Records the next `seconds`: base64 of interleaved stereo, 32-bit float, 48 kHz.
  async record(seconds) {
    const wanted = Math.round(seconds * SAMPLE_RATE_HZ) * 2;
    const chunks = [];
    let taken = 0;
    const done = new Promise((resolve) => {
      const recording = {
        push: (chunk) => {
          chunks.push(chunk);
          taken += chunk.length;
          if (taken >= wanted) {
            this.recordings.delete(recording);
            resolve();
          }
        },
      };
      this.recordings.add(recording);
    });
    await within(seconds * 1000 + 10000, "recorded", done);
    const samples = new Float32Array(taken);
    let offset = 0;
    for (const chunk of chunks) {
      samples.set(chunk, offset);
      offset += chunk.length;
    }
    return base64(samples.subarray(0, wanted));
  }

  // The inbound-rtp, candidate-pair, codec and transport entries of getStats(), by type.
  async stats() {
    const found = { state: this.connection.connectionState };
    (await this.connection.getStats()).forEach((entry) => {
      if (entry.type === "inbound-rtp" && entry.kind === "audio") found.inbound = entry;
      if (entry.type === "codec" && entry.mimeType === "audio/opus") found.codec = entry;
      if (entry.type === "candidate-pair" && entry.nominated) found.pair = entry;
      if (entry.type === "transport") found.transport = entry;
    });
    return found;
  }

  // Maximum lateness of the browser since the last call: how long other programs kept the processor.
  worstLatenessMs() {
    return new Promise((resolve) => {
      this.clock.onmessage = ({ data }) => resolve(data);
      this.clock.postMessage(null);
    });
  }

  async stop() {
    if (this.session) await fetch(this.session, { method: "DELETE" });
    this.vanish();
  }

  // Closes without DELETE.
  vanish() {
    if (this.audio) this.audio.close();
    if (this.connection) this.connection.close();
    this.connection = this.session = this.audio = null;
  }
}

// Chromium decodes mono unless its own offer contains stereo=1.
function askForStereo(sdp) {
  const type = /a=rtpmap:(\d+) opus\/48000/i.exec(sdp)[1];
  return sdp.replace(new RegExp(`(a=fmtp:${type} [^\r\n]*)`), (line) => (line.includes("stereo=1") ? line : `${line};stereo=1`));
}

// Chromium does not offer to request lost audio again, but does so if its own offer says so (RFC 4585, 4.2).
function offerNacks(sdp) {
  return sdp.replace(/(a=rtpmap:(\d+) opus\/48000\/2\r\n)/i, "$1a=rtcp-fb:$2 nack\r\n");
}

// The answer with the link's address, "host:port", in all candidates.
function over(link, answer) {
  return answer.replace(/^(a=candidate:\S+ 1 udp \d+) \S+ \d+/gim, `$1 ${link.replace(":", " ")}`);
}

function connected(connection) {
  return new Promise((resolve, reject) => {
    const check = () => {
      if (connection.connectionState === "connected") resolve();
      if (connection.connectionState === "failed") reject(new Error("the connection failed"));
    };
    connection.addEventListener("connectionstatechange", check);
    check();
  });
}

function within(milliseconds, what, promise) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`not ${what} in ${milliseconds} ms`)), milliseconds));
  return Promise.race([promise, late]);
}

function base64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let start = 0; start < bytes.length; start += 0x8000) {
    text += String.fromCharCode.apply(null, bytes.subarray(start, start + 0x8000));
  }
  return btoa(text);
}

window.listener = new Listener();
