/** WHEP player. A media element plays the received stream; the meter only taps it. */

import { InboundStats } from "./inbound_stats.js";
import { Link } from "./link.js";
import { offerNack, opusParameter, setOpusParameters } from "./sdp.js";
import { Speaker, canDelay, canSetVolume, setDelay } from "./speaker.js";

/**
 * @typedef {object} PlayerOptions
 * @property {HTMLAudioElement} audio Plays the sound.
 * @property {() => string | URL} endpoint WHEP endpoint of the chosen channel; throws a `Problem` if there is none.
 * @property {string | URL} statistics `/api/stats`, queried for the number of listeners when the server is full.
 * @property {() => string | null} token
 */

/**
 * Fires `stream` with each new connection, in addition to `change` and `stats`.
 * @extends {Link<import("./inbound_stats.js").ListenStats>}
 */
export class Player extends Link {
  #speaker;
  #statistics;
  #token;
  #answer = "";
  /** @type {number | null} */
  #delayMs = null;

  /** @param {PlayerOptions} options */
  constructor({ audio, endpoint, statistics, token }) {
    super(endpoint, token);
    this.#speaker = new Speaker(audio);
    this.#speaker.addEventListener("change", () => this.dispatchEvent(new Event("change")));
    this.#statistics = statistics;
    this.#token = token;
  }

  /** @returns {MediaStream | null} Received stream, before the volume control. */
  get stream() {
    return this.#speaker.stream;
  }

  /** Whether the browser requires another click before it plays sound. */
  get blocked() {
    return this.#speaker.blocked;
  }

  /** Whether the server announces stereo. */
  get stereo() {
    return opusParameter(this.#answer, "sprop-stereo") === "1";
  }

  /** Whether pages can set the volume. */
  static get canSetVolume() {
    return canSetVolume();
  }

  /** Whether the media element is paused: blocked, or by the browser's own controls. */
  get paused() {
    return this.#speaker.paused;
  }

  /** 0 to 1. */
  get volume() {
    return this.#speaker.volume;
  }

  set volume(volume) {
    this.#speaker.volume = volume;
  }

  /** Whether the programme is ducked, as in a studio while a microphone is open. */
  get dimmed() {
    return this.#speaker.dimmed;
  }

  set dimmed(dimmed) {
    this.#speaker.dimmed = dimmed;
  }

  /** Minimum jitter buffer delay in ms; null leaves it to the browser. */
  get delayMs() {
    return this.#delayMs;
  }

  set delayMs(delayMs) {
    this.#delayMs = delayMs;
    this.pc?.getReceivers().forEach((receiver) => setDelay(receiver, delayMs));
  }

  /** Whether this browser lets pages set the delay. */
  static get canDelay() {
    return canDelay();
  }

  /**
   * Call it from a click: browsers do not play sound otherwise.
   * @override
   */
  start() {
    if (this.blocked) void this.#speaker.play();
    else super.start();
  }

  /** @override */
  stop() {
    this.#speaker.blocked = false;
    super.stop();
    this.#speaker.stop();
  }

  /** @protected @override @param {RTCPeerConnection} pc */
  prepare(pc) {
    const { receiver } = pc.addTransceiver("audio", { direction: "recvonly" });
    setDelay(receiver, this.#delayMs);
    this.#speaker.connect(receiver);
    this.dispatchEvent(new Event("stream"));
  }

  /** @protected @override @param {string} offer */
  adaptOffer(offer) {
    return offerNack(setOpusParameters(offer, { stereo: 1 }));
  }

  /** @protected @override @param {string} answer */
  adaptAnswer(answer) {
    this.#answer = answer;
    return answer;
  }

  /** @protected @override */
  makeReader() {
    return new InboundStats();
  }

  /** @protected @override @param {import("./problem.js").Problem} problem */
  async explain(problem) {
    if (problem.kind !== "full") return;
    const token = this.#token();
    const headers = token === null ? undefined : { Authorization: `Bearer ${token}` };
    const answer = await fetch(this.#statistics, { headers })
      .then((response) => response.json())
      .catch(() => null);
    if (!Array.isArray(answer?.peers)) return;
    problem.listeners = answer.peers.filter((/** @type {any} */ peer) => peer.kind !== "publisher").length;
  }
}
