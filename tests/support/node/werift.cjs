// werift, a WebRTC stack in TypeScript.
"use strict";

const { MediaStreamTrack, RTCPeerConnection, RTCRtpCodecParameters, useH264 } = require("werift");
const { packet } = require("./rtp.cjs");

const OPUS = 111;

exports.Peer = class {
  constructor({ sends, video }) {
    const opus = new RTCRtpCodecParameters({ mimeType: "audio/opus", clockRate: 48000, channels: 2, payloadType: OPUS });
    this.connection = new RTCPeerConnection({ iceServers: [], codecs: { audio: [opus], video: [useH264()] } });
    this.sends = sends;
    this.video = video;
    this.heard = [];
    this.sequence = 0;
    this.connection.onTrack.subscribe((track) => {
      if (track.kind === "audio") track.onReceiveRtp.subscribe((rtp) => this.heard.push(Buffer.from(rtp.payload)));
    });
    if (sends) this.audio = new MediaStreamTrack({ kind: "audio" });
  }

  get state() {
    return this.connection.connectionState;
  }

  async offer() {
    const direction = this.sends ? "sendonly" : "recvonly";
    this.connection.addTransceiver(this.audio ?? "audio", { direction });
    if (this.video) this.connection.addTransceiver("video", { direction });
    await this.connection.setLocalDescription(await this.connection.createOffer());
    return this.connection.localDescription.sdp;
  }

  async accept(answer) {
    await this.connection.setRemoteDescription({ type: "answer", sdp: answer });
  }

  async answer(offer) {
    if (this.sends) this.connection.addTrack(this.audio);
    await this.connection.setRemoteDescription({ type: "offer", sdp: offer });
    await this.connection.setLocalDescription(await this.connection.createAnswer());
    return this.connection.localDescription.sdp;
  }

  send(frame) {
    const { sequence } = this;
    this.audio.writeRtp(packet(frame, { type: OPUS, sequence, timestamp: 960 * sequence, ssrc: 1 }));
    this.sequence++;
  }

  async close() {
    await this.connection.close();
  }
};
