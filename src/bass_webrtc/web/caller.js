/** Speaks and hears on one connection, which one sendrecv offer opens. */

import { InboundStats } from "./inbound_stats.js";
import { OutboundStats } from "./outbound_stats.js";
import { Publisher } from "./publisher.js";
import { offerNack, setOpusParameters } from "./sdp.js";
import { setDelay } from "./speaker.js";

/** Jitter buffer target in ms: the engine's minimum, because a conversation suffers more from delay than from a gap. */
const DELAY_MS = 0;

/** Another path is looked for when a reading of the statistics finds no new packet, and then every so many readings. */
const STALLED_READINGS = 4;

/**
 * @typedef {object} CallStats
 * @property {import("./inbound_stats.js").ListenStats | null} heard
 * @property {import("./outbound_stats.js").TalkStats | null} sent
 */

/**
 * @typedef {object} CallerOptions
 * @property {() => string | URL} endpoint
 * @property {() => string | null} token
 * @property {import("./microphone.js").TalkSettings} settings Change them with `configure` only.
 * @property {import("./speaker.js").Speaker} speaker Plays what comes back.
 */

/** @extends {Publisher<CallStats>} */
export class Caller extends Publisher {
  #speaker;
  #received = 0;
  #stalled = 0;

  /** @param {CallerOptions} options */
  constructor({ endpoint, token, settings, speaker }) {
    super({ endpoint, token, settings });
    this.#speaker = speaker;
    speaker.addEventListener("change", () => this.dispatchEvent(new Event("change")));
    this.addEventListener("stats", () => this.#watchPackets());
  }

  get speaker() {
    return this.#speaker;
  }

  /**
   * Call it from a click: browsers do not play sound otherwise.
   * @override
   */
  async start() {
    if (this.#speaker.blocked) void this.#speaker.play();
    else await super.start();
  }

  /** @override */
  stop() {
    super.stop();
    this.#speaker.stop();
  }

  /** @override @param {import("./problem.js").Problem} problem */
  fail(problem) {
    this.#speaker.stop();
    super.fail(problem);
  }

  /** @protected @override @param {RTCPeerConnection} pc */
  prepare(pc) {
    const stream = /** @type {MediaStream} */ (this.stream);
    const [track] = stream.getAudioTracks();
    const { receiver } = pc.addTransceiver(track, { direction: "sendrecv", streams: [stream] });
    setDelay(receiver, DELAY_MS);
    this.#speaker.connect(receiver);
  }

  /** @protected @override @param {string} offer */
  adaptOffer(offer) {
    return offerNack(setOpusParameters(super.adaptOffer(offer), { stereo: 1 }));
  }

  /** The server sends all the time, so a second without a packet means that the network has changed. */
  #watchPackets() {
    const received = this.stats?.heard?.packetsReceived ?? 0;
    this.#stalled = received > 0 && received === this.#received ? this.#stalled + 1 : 0;
    this.#received = received;
    if (this.#stalled % STALLED_READINGS === 1) this.findPath();
  }

  /** @protected @override */
  makeReader() {
    const [inbound, outbound] = [new InboundStats(), new OutboundStats()];
    return {
      /** @param {RTCPeerConnection} pc @returns {Promise<CallStats>} */
      read: async (pc) => ({ heard: await inbound.read(pc), sent: await outbound.read(pc) }),
    };
  }
}
