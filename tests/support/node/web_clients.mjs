// Other people's WHIP and WHEP clients for browsers, bundled into a page that Python drives: whip-whep and Eyevinn's.
//
// play() and publish() take the endpoint's URL, the bearer token and whether video is in the offer; stop() sends DELETE.

import "../listen.js"; // window.listener records what is played.

import { WebRTCPlayer } from "@eyevinn/webrtc-player";
import { WHIPClient as EyevinnPublisher } from "@eyevinn/whip-web-client";
import { WHEPClient } from "whip-whep/whep.js";
import { WHIPClient } from "whip-whep/whip.js";

const sink = document.getElementById("sink");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const players = {
  async "whip-whep"(url, token, video) {
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    connection.addTransceiver("audio", { direction: "recvonly" });
    if (video) connection.addTransceiver("video", { direction: "recvonly" });
    const track = new Promise((resolve) => (connection.ontrack = ({ track }) => track.kind === "audio" && resolve(track)));
    const client = new WHEPClient();
    client.onOffer = (sdp) => sdp.replace(/a=fmtp:111 /, "$&stereo=1;");
    await client.view(connection, url, token);
    return { track: await track, stop: () => client.stop() };
  },
  async eyevinn(url, token, video) {
    const player = new WebRTCPlayer({ video: sink, type: "whep", iceServers: [], mediaConstraints: { audioOnly: !video } });
    await player.load(new URL(url), `Bearer ${token}`);
    while (!sink.srcObject?.getAudioTracks().length) await sleep(20);
    return { track: sink.srcObject.getAudioTracks()[0], stop: () => player.unload() };
  },
};

const publishers = {
  async "whip-whep"(url, token, stream) {
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const track of stream.getTracks()) connection.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    const client = new WHIPClient();
    await client.publish(connection, url, token);
    return { stop: () => client.stop() };
  },
  async eyevinn(url, token, stream) {
    const client = new EyevinnPublisher({ endpoint: url, opts: { authkey: token, iceServers: [] } });
    await client.setIceServersFromEndpoint();
    await client.ingest(stream);
    return { stop: () => client.destroy() };
  },
};

let session = null;

window.clients = {
  async play(name, url, token, video) {
    session = await players[name](url, token, video);
    await window.listener.listen(session.track);
  },
  async publish(name, url, token, video, tone_hz) {
    session = await publishers[name](url, token, await stream(tone_hz, video));
  },
  stop: () => session.stop(),
};

// A tone of -12 dBFS in each channel and, on demand, a moving picture.
async function stream(tone_hz, video) {
  const context = new AudioContext({ sampleRate: 48000 });
  const merger = new ChannelMergerNode(context, { numberOfInputs: tone_hz.length });
  tone_hz.forEach((frequency, channel) => {
    const oscillator = new OscillatorNode(context, { frequency });
    oscillator.connect(new GainNode(context, { gain: 10 ** (-12 / 20) })).connect(merger, 0, channel);
    oscillator.start();
  });
  const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
  merger.connect(destination);
  await context.resume();
  if (!video) return destination.stream;
  const canvas = document.createElement("canvas");
  const picture = canvas.getContext("2d");
  setInterval(() => picture.fillRect(Math.random() * canvas.width, 0, 1, canvas.height), 50);
  return new MediaStream([...destination.stream.getTracks(), ...canvas.captureStream(20).getTracks()]);
}
