// libdatachannel, the WebRTC stack of OBS Studio, with its own defaults: its Opus profile names maxaveragebitrate=96000.
"use strict";

const rtc = require("node-datachannel");
const { isRtcp, payloadOf } = require("./rtp.cjs");

const OPUS = 111;
const H264 = 96;
const SSRC = 305419896;

exports.Peer = class {
  // `reports` makes a player send RTCP, which libdatachannel does only when asked; `certificate` and `key` are PEM files.
  constructor({ sends, video, reports = false, certificate = null, key = null }) {
    const files = certificate ? { certificatePemFile: certificate, keyPemFile: key } : {};
    this.connection = new rtc.PeerConnection("test", { iceServers: [], ...files });
    this.state = "new";
    this.connection.onStateChange((state) => (this.state = state));
    this.sends = sends;
    this.reports = reports;
    this.heard = [];
    this.tracks = new Set(); // What the garbage collector takes is deaf.
    this.connection.onTrack((track) => this.adopt(track));
    this.video = video;
  }

  async offer() {
    const direction = this.sends ? "SendOnly" : "RecvOnly";
    const audio = new rtc.Audio("0", direction);
    audio.addOpusCodec(OPUS);
    if (this.sends) audio.addSSRC(SSRC, "cname", "stream", "stream-audio");
    this.adopt(this.connection.addTrack(audio));
    if (this.video) {
      const video = new rtc.Video("1", direction);
      video.addH264Codec(H264);
      if (this.sends) video.addSSRC(SSRC + 1, "cname", "stream", "stream-video");
      this.adopt(this.connection.addTrack(video));
    }
    this.connection.setLocalDescription("offer");
    return this.gathered();
  }

  async accept(answer) {
    this.connection.setRemoteDescription(answer, "answer");
  }

  async answer(offer) {
    this.connection.setRemoteDescription(offer, "offer");
    return this.gathered(); // It answers by itself.
  }

  send(frame) {
    if (!this.audio?.isOpen()) return;
    this.audio.config.timestamp += 960;
    this.audio.sendMessageBinary(frame);
  }

  // libdatachannel ends DTLS, with close_notify, before its user can send DELETE.
  close() {
    this.connection.close();
  }

  adopt(track) {
    this.tracks.add(track);
    if (track.type() !== "audio") return;
    if (this.sends) {
      const config = new rtc.RtpPacketizationConfig(SSRC, "cname", OPUS, 48000);
      const packetizer = new rtc.RtpPacketizer(config);
      packetizer.addToChain(new rtc.RtcpSrReporter(config));
      packetizer.addToChain(new rtc.RtcpNackResponder());
      track.setMediaHandler(packetizer);
      track.config = config;
      this.audio = track;
    } else {
      if (this.reports) track.setMediaHandler(new rtc.RtcpReceivingSession());
      track.onMessage((packet) => isRtcp(packet) || this.heard.push(payloadOf(packet)));
    }
  }

  gathered() {
    return new Promise((resolve) => {
      const check = () => this.connection.gatheringState() === "complete" && resolve(this.connection.localDescription().sdp);
      this.connection.onGatheringStateChange(check);
      check();
    });
  }
};
