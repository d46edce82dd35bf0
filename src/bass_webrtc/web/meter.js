/** Measures level: taps a MediaStream with Web Audio, and gives peak values the inertia of a broadcast meter. */

/** What counts as silence, in dBFS. */
export const SILENCE_DB = -120;

/** Return of a type I peak programme meter, 20 dB in 1.7 s (IEC 60268-10). */
const FALL_DB_PER_MS = 20 / 1700;
const HOLD_MS = 1500;

/** Samples looked at in one reading: 43 ms, more than a video frame lasts, so no peak is missed while drawing. */
const WINDOW_SAMPLES = 2048;

/** @type {AudioContext | undefined} */
let context;

/** The page's one audio context. Call it within a click: a context made outside of one stays suspended. */
export function audioContext() {
  context ??= new AudioContext({ latencyHint: "playback" });
  if (context.state !== "running") void context.resume();
  return context;
}

/** Peak and held peak of one channel. */
export class Ballistics {
  #heldSinceMs = 0;
  #readAtMs = 0;
  /** dBFS; rises at once, falls slowly. */
  level = SILENCE_DB;
  /** dBFS; the highest level of the last moments. */
  hold = SILENCE_DB;

  /** @param {number} peakDb Just measured, in dBFS. @param {number} nowMs */
  read(peakDb, nowMs) {
    const fallen = this.level - FALL_DB_PER_MS * (nowMs - this.#readAtMs);
    this.level = Math.max(peakDb, fallen, SILENCE_DB);
    this.#readAtMs = nowMs;
    if (this.level >= this.hold || nowMs - this.#heldSinceMs > HOLD_MS) {
      this.hold = this.level;
      this.#heldSinceMs = nowMs;
    }
  }
}

/** Two channels of one stream, before any volume control. Mono shows on both. */
export class Meter {
  /** @type {AudioNode | null} */
  #source = null;
  /** @type {AudioNode | null} */
  #input = null;
  /** @type {AnalyserNode[]} */
  #analysers = [];
  #samples = new Float32Array(WINDOW_SAMPLES);
  channels = [new Ballistics(), new Ballistics()];

  /**
   * Chromium gives Web Audio the samples of a remote stream only while a media element plays that stream, too.
   * @param {MediaStream} stream
   */
  attach(stream) {
    this.detach();
    const audio = audioContext();
    this.#source = audio.createMediaStreamSource(stream);
    this.#source.connect(this.#chain(audio));
  }

  detach() {
    this.#source?.disconnect();
    this.#source = null;
  }

  /** Forgets what was heard so far. */
  reset() {
    this.channels = [new Ballistics(), new Ballistics()];
  }

  /** Peaks of this moment, in dBFS, left and right. */
  peaksDb() {
    if (this.#source === null) return [SILENCE_DB, SILENCE_DB];
    return this.#analysers.map((analyser) => {
      analyser.getFloatTimeDomainData(this.#samples);
      const peak = this.#samples.reduce((highest, sample) => Math.max(highest, Math.abs(sample)), 0);
      return peak > 0 ? Math.max(20 * Math.log10(peak), SILENCE_DB) : SILENCE_DB;
    });
  }

  /** @param {number} nowMs */
  read(nowMs) {
    this.peaksDb().forEach((peakDb, channel) => this.channels[channel].read(peakDb, nowMs));
  }

  /** @param {AudioContext} audio */
  #chain(audio) {
    if (this.#input !== null) return this.#input;
    const input = new GainNode(audio, { channelCount: 2, channelCountMode: "explicit" });
    const splitter = new ChannelSplitterNode(audio, { numberOfOutputs: 2 });
    input.connect(splitter);
    this.#analysers = [0, 1].map((channel) => {
      const analyser = new AnalyserNode(audio, { fftSize: WINDOW_SAMPLES });
      splitter.connect(analyser, channel);
      return analyser;
    });
    this.#input = input;
    return input;
  }
}
