/** Measures the level of a MediaStream with Web Audio, with the ballistics of a broadcast peak meter. */

/** Lowest level reported, in dBFS. */
export const SILENCE_DB = -120;

/** Decay of a type I peak programme meter, 20 dB in 1.7 s (IEC 60268-10). */
const FALL_DB_PER_MS = 20 / 1700;
const HOLD_MS = 1500;

/** Samples per reading: 43 ms, longer than a video frame, so no peak is missed while drawing. */
const WINDOW_SAMPLES = 2048;

/** @type {AudioContext | undefined} */
let context;

/** The page's audio context. Call it from a click: a context created otherwise stays suspended. */
export function audioContext() {
  context ??= new AudioContext({ latencyHint: "playback" });
  if (context.state !== "running") void context.resume();
  return context;
}

/** Peak and held peak of one channel. */
export class Ballistics {
  #heldSinceMs = 0;
  #readAtMs = 0;
  /** dBFS; rises immediately, falls slowly. */
  level = SILENCE_DB;
  /** dBFS; highest level within the hold time. */
  hold = SILENCE_DB;

  /** @param {number} peakDb Measured peak in dBFS. @param {number} nowMs */
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

/** Level of a stream in two channels, before the volume control. Mono shows on both. */
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
   * Chromium feeds a remote stream to Web Audio only while a media element plays it as well.
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

  /** Resets both channels to silence. */
  reset() {
    this.channels = [new Ballistics(), new Ballistics()];
  }

  /** Current peaks in dBFS, left and right. */
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
