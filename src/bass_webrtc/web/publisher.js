/** Talk: a WHIP publisher. Sends one microphone, and can exchange it without the server noticing. */

import { Link } from "./link.js";
import { hasStereo, openMicrophone } from "./microphone.js";
import { OutboundStats } from "./outbound_stats.js";
import { Problem } from "./problem.js";
import { opusParameter, setOpusParameters } from "./sdp.js";

/**
 * @typedef {object} PublisherOptions
 * @property {string | URL} endpoint The WHIP endpoint.
 * @property {() => string | null} token
 * @property {import("./microphone.js").TalkSettings} settings To be changed by `configure` only.
 */

/**
 * Fires, besides `change` and `stats`, `stream` with each microphone, and when there is none any more.
 * @extends {Link<import("./outbound_stats.js").TalkStats>}
 */
export class Publisher extends Link {
  #muted = false;
  /** Counts openings of the microphone: the visitor may change his mind while the browser asks. */
  #openings = 0;

  /** @param {PublisherOptions} options */
  constructor({ endpoint, token, settings }) {
    super(endpoint, token);
    this.settings = settings;
    /** @type {MediaStream | null} What is sent. */
    this.stream = null;
    /** Whether the microphone is being asked for. */
    this.opening = false;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    this.#open(this.stream);
    this.dispatchEvent(new Event("change"));
  }

  /** Whether the server hears the microphone at this moment. */
  get onAir() {
    return this.state === "live" && !this.#muted;
  }

  /** @override */
  async start() {
    if (await this.#openMicrophone()) super.start();
  }

  /** @override */
  stop() {
    this.#openings++;
    this.opening = false;
    this.#close();
    super.stop();
  }

  /** @override @param {Problem} problem */
  fail(problem) {
    this.#close();
    super.fail(problem);
  }

  /** @protected @override @param {RTCPeerConnection} pc */
  prepare(pc) {
    const stream = /** @type {MediaStream} */ (this.stream);
    pc.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
  }

  /** @protected @override @param {string} offer */
  adaptOffer(offer) {
    return setOpusParameters(offer, { "sprop-stereo": hasStereo(this.settings) ? 1 : 0 });
  }

  /**
   * The browser's encoder obeys the answer: we ask it for less than the server would take, never for more.
   * @protected @override @param {string} answer
   */
  adaptAnswer(answer) {
    const allowedBps = Number(opusParameter(answer, "maxaveragebitrate") ?? Infinity);
    return setOpusParameters(answer, {
      stereo: hasStereo(this.settings) && opusParameter(answer, "stereo") === "1" ? 1 : 0,
      maxaveragebitrate: Math.min(this.settings.bitrateKbps * 1000, allowedBps),
    });
  }

  /** @protected @override */
  makeReader() {
    return new OutboundStats();
  }

  /** @protected @override @param {Problem} problem */
  async explain(problem) {
    if (problem.status === 409) problem.kind = "occupied";
  }

  /**
   * Changes settings, also while talking.
   * @param {Partial<import("./microphone.js").TalkSettings>} changes
   */
  async configure(changes) {
    const before = { ...this.settings };
    Object.assign(this.settings, changes);
    if (changes.pushToTalk !== undefined) this.muted = changes.pushToTalk;
    this.dispatchEvent(new Event("change"));
    await this.#limitBitrate();
    if (this.stream === null || !reopens(before, this.settings)) return;
    if (!(await this.#openMicrophone())) return;
    if (hasStereo(before) === hasStereo(this.settings)) {
      await this.#sender?.replaceTrack(this.stream.getAudioTracks()[0]);
    } else {
      // How many channels are encoded is agreed on when connecting.
      super.stop();
      super.start();
    }
  }

  get #sender() {
    return this.pc?.getSenders()[0];
  }

  /** @returns {Promise<boolean>} Whether there is a microphone, and it is still wanted. */
  async #openMicrophone() {
    const opening = ++this.#openings;
    this.opening = true;
    this.dispatchEvent(new Event("change"));
    this.#close(); // Some systems cannot open one microphone twice.
    const result = await openMicrophone(this.settings).catch((/** @type {Problem} */ problem) => problem);
    const wanted = opening === this.#openings;
    if (wanted) this.opening = false;
    if (result instanceof Problem) {
      if (wanted) this.fail(result);
    } else if (wanted) this.#open(result);
    else result.getTracks().forEach((track) => track.stop());
    return wanted && !(result instanceof Problem);
  }

  /** @param {MediaStream | null} stream */
  #open(stream) {
    stream?.getAudioTracks().forEach((track) => {
      track.enabled = !this.#muted;
      track.contentHint = this.settings.noiseSuppression ? "speech" : "music";
      track.onended = () => this.fail(new Problem("gone-microphone"));
    });
    if (stream === this.stream) return;
    this.stream = stream;
    this.dispatchEvent(new Event("stream"));
  }

  #close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.dispatchEvent(new Event("stream"));
  }

  async #limitBitrate() {
    const sender = this.#sender;
    const parameters = sender?.getParameters();
    if (!parameters?.encodings?.length) return;
    parameters.encodings[0].maxBitrate = this.settings.bitrateKbps * 1000;
    await sender?.setParameters(parameters).catch(() => null); // The next connection has it in its answer.
  }
}

/** @param {any} before @param {any} after Whether the microphone has to be opened anew. */
const reopens = (before, after) =>
  ["deviceId", "echoCancellation", "noiseSuppression", "autoGainControl", "stereo"].some(
    (name) => before[name] !== after[name],
  );
