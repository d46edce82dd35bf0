// @roamhq/wrtc, libwebrtc for node: it encodes and decodes itself.
"use strict";

const { RTCPeerConnection, nonstandard } = require("@roamhq/wrtc");

const SAMPLE_RATE_HZ = 48000;
const BLOCK_FRAMES = 480;

exports.Peer = class {
  constructor({ sends, video, tone }) {
    this.connection = new RTCPeerConnection();
    this.sends = sends;
    this.video = video;
    this.tone = tone;
    this.heard = [];
    this.position = 0;
    this.connection.ontrack = ({ track }) => {
      if (track.kind !== "audio") return;
      this.sink = new nonstandard.RTCAudioSink(track);
      this.sink.ondata = ({ samples, sampleRate, channelCount }) => {
        this.format = { sampleRate, channelCount };
        this.heard.push(Buffer.from(samples.buffer.slice(samples.byteOffset, samples.byteOffset + samples.byteLength)));
      };
    };
    if (sends) this.source = new nonstandard.RTCAudioSource();
  }

  get state() {
    return this.connection.connectionState;
  }

  async offer() {
    const direction = this.sends ? "sendonly" : "recvonly";
    this.connection.addTransceiver(this.source?.createTrack() ?? "audio", { direction });
    if (this.video) this.connection.addTransceiver("video", { direction });
    const offer = await this.connection.createOffer();
    await this.connection.setLocalDescription({ type: "offer", sdp: inStereo(offer.sdp) });
    return this.gathered();
  }

  async accept(answer) {
    await this.connection.setRemoteDescription({ type: "answer", sdp: answer });
  }

  async answer(offer) {
    if (this.sends) this.connection.addTrack(this.source.createTrack());
    await this.connection.setRemoteDescription({ type: "offer", sdp: offer });
    const answer = await this.connection.createAnswer();
    await this.connection.setLocalDescription({ type: "answer", sdp: inStereo(answer.sdp) });
    return this.gathered();
  }

  // Called every 20 ms.
  send() {
    for (let block = 0; block < 2; block++) {
      const samples = new Int16Array(2 * BLOCK_FRAMES);
      for (let frame = 0; frame < BLOCK_FRAMES; frame++, this.position++) {
        const angle = (2 * Math.PI * this.position) / SAMPLE_RATE_HZ;
        samples[2 * frame] = Math.round(this.tone.amplitude * 32767 * Math.sin(angle * this.tone.left_hz));
        samples[2 * frame + 1] = Math.round(this.tone.amplitude * 32767 * Math.sin(angle * this.tone.right_hz));
      }
      this.source.onData({ samples, sampleRate: SAMPLE_RATE_HZ, bitsPerSample: 16, channelCount: 2, numberOfFrames: BLOCK_FRAMES });
    }
  }

  close() {
    this.sink?.stop();
    this.connection.close();
  }

  gathered() {
    return new Promise((resolve) => {
      const check = () => this.connection.iceGatheringState === "complete" && resolve(this.connection.localDescription.sdp);
      this.connection.onicegatheringstatechange = check;
      check();
    });
  }
};

// libwebrtc decodes mono unless its own description contains stereo=1.
function inStereo(sdp) {
  return sdp.replace(/(a=fmtp:111 [^\r\n]*)/, "$1;stereo=1");
}
