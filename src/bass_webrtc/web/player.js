/** WHEP player. A media element plays the received stream; the meter only taps it. */

import { InboundStats } from "./inbound_stats.js";
import { Link } from "./link.js";
import { offerNack, opusParameter, setOpusParameters } from "./sdp.js";

/** Volume of a ducked programme: -14 dB. */
const DUCKED_VOLUME = 0.2;

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
  #audio;
  #statistics;
  #token;
  #answer = "";
  #volume = 1;
  #dimmed = false;
  /** @type {number | null} */
  #delayMs = null;

  /** @param {PlayerOptions} options */
  constructor({ audio, endpoint, statistics, token }) {
    super(endpoint, token);
    this.#audio = audio;
    this.#statistics = statistics;
    this.#token = token;
    /** @type {MediaStream | null} Received stream, before the volume control. */
    this.stream = null;
    /** Whether the browser requires another click before it plays sound. */
    this.blocked = false;
  }

  /** Whether the server announces stereo. */
  get stereo() {
    return opusParameter(this.#answer, "sprop-stereo") === "1";
  }

  /** Whether pages can set the volume. iOS ignores it, because it has volume keys. */
  static get canSetVolume() {
    const audio = new Audio();
    audio.volume = 0.5;
    return audio.volume === 0.5;
  }

  /** Whether the media element is paused: blocked, or by the browser's own controls. */
  get paused() {
    return this.#audio.paused;
  }

  /** 0 to 1. */
  get volume() {
    return this.#volume;
  }

  set volume(volume) {
    this.#volume = volume;
    this.#audio.volume = this.#dimmed ? volume * DUCKED_VOLUME : volume;
  }

  /** Whether the programme is ducked, as in a studio while a microphone is open. */
  get dimmed() {
    return this.#dimmed;
  }

  set dimmed(dimmed) {
    this.#dimmed = dimmed;
    this.volume = this.#volume;
  }

  /** Minimum jitter buffer delay in ms; null leaves it to the browser. */
  get delayMs() {
    return this.#delayMs;
  }

  set delayMs(delayMs) {
    this.#delayMs = delayMs;
    this.pc?.getReceivers().forEach((receiver) => this.#setDelay(receiver));
  }

  /** Whether this browser lets pages set the delay. */
  static get canDelay() {
    const receiver = globalThis.RTCRtpReceiver?.prototype ?? {};
    return "jitterBufferTarget" in receiver || "playoutDelayHint" in receiver;
  }

  /**
   * Call it from a click: browsers do not play sound otherwise.
   * @override
   */
  start() {
    if (this.blocked) void this.#play();
    else super.start();
  }

  /** @override */
  stop() {
    this.blocked = false;
    super.stop();
    this.#audio.srcObject = null;
  }

  /** @protected @override @param {RTCPeerConnection} pc */
  prepare(pc) {
    const { receiver } = pc.addTransceiver("audio", { direction: "recvonly" });
    this.#setDelay(receiver);
    // The track exists before the first packet, so play() can be called within the click; sound starts later.
    this.stream = new MediaStream([receiver.track]);
    this.#audio.srcObject = this.stream;
    void this.#play();
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

  async #play() {
    this.blocked = false;
    try {
      await this.#audio.play();
    } catch (error) {
      // AbortError: a newer stream replaced this one, or the user pressed Stop.
      this.blocked = error instanceof DOMException && error.name === "NotAllowedError";
    }
    this.dispatchEvent(new Event("change"));
  }

  /** @param {any} receiver An RTCRtpReceiver; the property depends on the browser version. */
  #setDelay(receiver) {
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = this.#delayMs;
    else receiver.playoutDelayHint = this.#delayMs === null ? null : this.#delayMs / 1000;
  }
}
