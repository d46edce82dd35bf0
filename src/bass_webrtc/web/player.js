/** Listen: a WHEP player. The sound goes from the connection to a media element; everything else only looks on. */

import { InboundStats } from "./inbound_stats.js";
import { Link } from "./link.js";
import { opusParameter, setOpusParameters } from "./sdp.js";

/** Volume of a dimmed programme: 14 dB down. */
const DIMMED = 0.2;

/**
 * @typedef {object} PlayerOptions
 * @property {HTMLAudioElement} audio Plays the sound.
 * @property {string | URL} endpoint The WHEP endpoint.
 * @property {string | URL} statistics `/api/stats`; asked how many listen when the server is full.
 * @property {() => string | null} token
 */

/**
 * Fires, besides `change` and `stats`, `stream` with each new connection.
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
    /** @type {MediaStream | null} What is received, before the volume. */
    this.stream = null;
    /** Whether the browser wants one more click before it lets sound out. */
    this.blocked = false;
  }

  /** Whether the server says that it sends stereo. */
  get stereo() {
    return opusParameter(this.#answer, "sprop-stereo") === "1";
  }

  /** Whether this system lets a page choose the volume. iOS leaves it to its own keys: it does not take ours. */
  static get canSetVolume() {
    const audio = new Audio();
    audio.volume = 0.5;
    return audio.volume === 0.5;
  }

  /** 0 to 1. */
  get volume() {
    return this.#volume;
  }

  set volume(volume) {
    this.#volume = volume;
    this.#audio.volume = this.#dimmed ? volume * DIMMED : volume;
  }

  /** Whether the programme is turned down, as in a studio while a microphone is open. */
  get dimmed() {
    return this.#dimmed;
  }

  set dimmed(dimmed) {
    this.#dimmed = dimmed;
    this.volume = this.#volume;
  }

  /** Least time in the jitter buffer, in ms; null leaves it to the browser. */
  get delayMs() {
    return this.#delayMs;
  }

  set delayMs(delayMs) {
    this.#delayMs = delayMs;
    this.pc?.getReceivers().forEach((receiver) => this.#delay(receiver));
  }

  /** Whether this browser lets a page choose the delay. */
  static get canDelay() {
    const receiver = globalThis.RTCRtpReceiver?.prototype ?? {};
    return "jitterBufferTarget" in receiver || "playoutDelayHint" in receiver;
  }

  /**
   * To be called from a click: browsers let sound out only then.
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
    this.#delay(receiver);
    // The track is there before the first packet, so play() can be called within the click and starts when sound comes.
    this.stream = new MediaStream([receiver.track]);
    this.#audio.srcObject = this.stream;
    void this.#play();
    this.dispatchEvent(new Event("stream"));
  }

  /** @protected @override @param {string} offer */
  adaptOffer(offer) {
    return setOpusParameters(offer, { stereo: 1 });
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
      // AbortError: a newer stream took the element over, or the visitor pressed stop.
      this.blocked = error instanceof DOMException && error.name === "NotAllowedError";
    }
    this.dispatchEvent(new Event("change"));
  }

  /** @param {any} receiver An RTCRtpReceiver, of whatever age. */
  #delay(receiver) {
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = this.#delayMs;
    else receiver.playoutDelayHint = this.#delayMs === null ? null : this.#delayMs / 1000;
  }
}
