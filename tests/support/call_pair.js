// Two guests in one page, so that one clock measures the way of a click from the microphone of one to the ear of the
// other. The microphone is a MediaStreamAudioDestinationNode, the ear an AudioWorklet on what the browser plays.

const CLICK_S = 0.003;
const CLICK_HZ = 2000;
const EVERY_S = 0.237; // Not a multiple of any frame length.

class Guest {
  constructor(context) {
    this.connection = new RTCPeerConnection();
    this.microphone = new MediaStreamAudioDestinationNode(context);
    this.connection.addTransceiver(this.microphone.stream.getTracks()[0], {
      direction: "sendrecv",
      streams: [this.microphone.stream],
    });
    this.heard = new Promise((resolve) => {
      this.connection.ontrack = ({ track, receiver }) => {
        receiver.jitterBufferTarget = 0;
        const stream = new MediaStream([track]);
        // Chromium pulls remote audio only while an element plays it.
        this.element = Object.assign(new Audio(), { srcObject: stream, muted: true });
        this.element.play();
        resolve(new MediaStreamAudioSourceNode(context, { mediaStream: stream }));
      };
    });
  }

  async call(url) {
    await this.connection.setLocalDescription();
    const headers = { "Content-Type": "application/sdp" };
    const response = await fetch(url, { method: "POST", headers, body: this.connection.localDescription.sdp });
    const sdp = await response.text();
    if (response.status !== 201) throw new Error(`${response.status}: ${sdp}`);
    await this.connection.setRemoteDescription({ type: "answer", sdp });
    while (this.connection.connectionState !== "connected") await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

window.pair = {
  // Resolves with the delays of all clicks after the first settleS seconds that were heard, in ms, how many were sent, and
  // the mean delay of the browser's jitter buffer.
  async measure(url, settleS, seconds) {
    const context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
    await context.audioWorklet.addModule("onset-worklet.js");
    const [speaker, listener] = [new Guest(context), new Guest(context)];
    await speaker.call(url);
    await listener.call(url);
    const onset = new AudioWorkletNode(context, "onset");
    const heard = [];
    onset.port.onmessage = ({ data }) => heard.push(data);
    (await listener.heard).connect(onset).connect(context.destination);
    const sent = [];
    const begin = context.currentTime + 0.5;
    for (let at = begin; at < begin + settleS + seconds; at += EVERY_S) {
      const click = new OscillatorNode(context, { frequency: CLICK_HZ });
      click.connect(speaker.microphone);
      click.start(at);
      click.stop(at + CLICK_S);
      if (at > begin + settleS) sent.push(at);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 * (settleS + seconds + 1.5)));
    const delays = sent.map((at) => heard.find((one) => one >= at && one < at + EVERY_S) - at);
    let received = {};
    (await listener.connection.getStats()).forEach((one) => (received = one.type === "inbound-rtp" ? one : received));
    const bufferMs = (1000 * received.jitterBufferDelay) / received.jitterBufferEmittedCount;
    return { bufferMs, delaysMs: delays.filter((one) => one >= 0).map((one) => 1000 * one), sent: sent.length };
  },
};
