/** WHIP publisher. Sends one microphone, which can be replaced during the session. */

import { Link } from "./link.js";
import { hasStereo, openMicrophone } from "./microphone.js";
import { OutboundStats } from "./outbound_stats.js";
import { Problem } from "./problem.js";
import { opusParameter, setOpusParameters } from "./sdp.js";

/**
 * @typedef {object} PublisherOptions
 * @property {() => string | URL} endpoint The WHIP endpoint.
 * @property {() => string | null} token
 * @property {import("./microphone.js").TalkSettings} settings Change them with `configure` only.
 */

/**
 * Fires `stream` when a microphone is opened or closed, in addition to `change` and `stats`.
 *
 * @template [Stats=import("./outbound_stats.js").TalkStats]
 * @extends {Link<Stats>}
 */
export class Publisher extends Link {
  #muted = false;
  /** Counts attempts to open the microphone: the user may press Stop during the permission prompt. */
  #openings = 0;

  /** @param {PublisherOptions} options */
  constructor({ endpoint, token, settings }) {
    super(endpoint, token);
    this.settings = settings;
    /** @type {MediaStream | null} Sent stream. */
    this.stream = null;
    /** Whether the microphone is being opened. */
    this.opening = false;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    this.#useStream(this.stream);
    this.dispatchEvent(new Event("change"));
  }

  /** Whether the server currently receives sound from the microphone. */
  get onAir() {
    return this.state === "live" && !this.#muted;
  }

  /** Opens the microphone before the start, so that the user can test it. */
  async preview() {
    if (this.state === "failed") this.stop();
    if (this.state === "idle") await this.#openMicrophone();
  }

  /** @override */
  async start() {
    if (this.stream !== null || (await this.#openMicrophone())) super.start();
  }

  /** @override */
  stop() {
    this.#openings++;
    this.opening = false;
    this.#closeMicrophone();
    super.stop();
  }

  /** @override @param {Problem} problem */
  fail(problem) {
    this.#closeMicrophone();
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
   * The browser's encoder follows the answer, so lower its bitrate there, never above what the server allows.
   * @protected @override @param {string} answer
   */
  adaptAnswer(answer) {
    const allowedBps = Number(opusParameter(answer, "maxaveragebitrate") ?? Infinity);
    return setOpusParameters(answer, {
      stereo: hasStereo(this.settings) && opusParameter(answer, "stereo") === "1" ? 1 : 0,
      maxaveragebitrate: Math.min(this.settings.bitrateKbps * 1000, allowedBps),
    });
  }

  /** @protected @override @returns {{ read(pc: RTCPeerConnection): Promise<Stats | null> }} */
  makeReader() {
    return /** @type {any} */ (new OutboundStats());
  }

  /** @protected @override @param {Problem} problem */
  async explain(problem) {
    if (problem.status === 409) problem.kind = "occupied";
  }

  /**
   * Changes settings, during a session, too.
   * @param {Partial<import("./microphone.js").TalkSettings>} changes
   */
  async configure(changes) {
    const before = { ...this.settings };
    Object.assign(this.settings, changes);
    if (changes.pushToTalk !== undefined) this.muted = changes.pushToTalk;
    this.dispatchEvent(new Event("change"));
    await this.#limitBitrate();
    if (this.stream === null || !needsReopening(before, this.settings)) return;
    if (!(await this.#openMicrophone())) return;
    if (this.pc === null || hasStereo(before) === hasStereo(this.settings)) {
      await this.#sender?.replaceTrack(this.stream.getAudioTracks()[0]);
    } else {
      // The number of channels is negotiated, so this needs a new connection.
      super.stop();
      super.start();
    }
  }

  get #sender() {
    return this.pc?.getSenders()[0];
  }

  /** @returns {Promise<boolean>} Whether the microphone is open and still wanted. */
  async #openMicrophone() {
    const opening = ++this.#openings;
    this.opening = true;
    this.dispatchEvent(new Event("change"));
    this.#closeMicrophone(); // Some systems cannot open a microphone twice.
    const settings = { ...this.settings };
    const result = await openMicrophone(settings).catch((/** @type {Problem} */ problem) => problem);
    const wanted = opening === this.#openings;
    if (wanted) this.opening = false;
    if (result instanceof Problem) {
      if (wanted) this.fail(result);
      return false;
    }
    if (wanted && !needsReopening(settings, this.settings)) {
      this.#useStream(result);
      return true;
    }
    stopTracks(result);
    return wanted && this.#openMicrophone(); // The settings have changed, perhaps during the permission prompt.
  }

  /** @param {MediaStream | null} stream */
  #useStream(stream) {
    stream?.getAudioTracks().forEach((track) => {
      track.enabled = !this.#muted;
      track.contentHint = this.settings.noiseSuppression ? "speech" : "music";
      track.onended = () => this.fail(new Problem("gone-microphone"));
    });
    if (stream === this.stream) return;
    this.stream = stream;
    this.dispatchEvent(new Event("stream"));
  }

  #closeMicrophone() {
    stopTracks(this.stream);
    this.stream = null;
    this.dispatchEvent(new Event("stream"));
  }

  async #limitBitrate() {
    const sender = this.#sender;
    const parameters = sender?.getParameters();
    if (!parameters?.encodings?.length) return;
    parameters.encodings[0].maxBitrate = this.settings.bitrateKbps * 1000;
    await sender?.setParameters(parameters).catch(() => null); // The next connection limits it in its answer.
  }
}

/** @param {MediaStream | null} stream */
const stopTracks = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** Whether changed settings require opening the microphone again. @param {any} before @param {any} after */
const needsReopening = (before, after) =>
  ["deviceId", "echoCancellation", "noiseSuppression", "autoGainControl", "stereo"].some(
    (name) => before[name] !== after[name],
  );
