/** Plays a received stream in a media element: volume, ducking, and playback that the browser blocks. */

/** Volume of a ducked programme: -14 dB. */
const DUCKED_VOLUME = 0.2;

/** Fires `change` when playback starts or is blocked. */
export class Speaker extends EventTarget {
  #audio;
  #volume = 1;
  #dimmed = false;

  /** @param {HTMLAudioElement} audio Plays the sound. */
  constructor(audio) {
    super();
    this.#audio = audio;
    /** @type {MediaStream | null} Received stream, before the volume control. */
    this.stream = null;
    /** Whether the browser requires another click before it plays sound. */
    this.blocked = false;
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

  /**
   * Plays what a receiver will receive. Its track exists before the first packet, so this can be called within the
   * click that browsers require; sound starts later.
   * @param {RTCRtpReceiver} receiver
   */
  connect(receiver) {
    this.stream = new MediaStream([receiver.track]);
    this.#audio.srcObject = this.stream;
    void this.play();
  }

  /** Starts playback; call it from a click if it was blocked. */
  async play() {
    this.blocked = false;
    try {
      await this.#audio.play();
    } catch (error) {
      // AbortError: a newer stream replaced this one, or the user pressed Stop.
      this.blocked = error instanceof DOMException && error.name === "NotAllowedError";
    }
    this.dispatchEvent(new Event("change"));
  }

  stop() {
    this.blocked = false;
    this.#audio.srcObject = null;
  }
}

/** Whether pages can set the volume. iOS ignores it, because it has volume keys. */
export function canSetVolume() {
  const audio = new Audio();
  audio.volume = 0.5;
  return audio.volume === 0.5;
}

/** Whether this browser lets pages set the delay of the jitter buffer. */
export function canDelay() {
  const receiver = globalThis.RTCRtpReceiver?.prototype ?? {};
  return "jitterBufferTarget" in receiver || "playoutDelayHint" in receiver;
}

/**
 * @param {any} receiver An RTCRtpReceiver; the property depends on the browser version.
 * @param {number | null} delayMs Minimum delay of its jitter buffer in ms; null leaves it to the browser.
 */
export function setDelay(receiver, delayMs) {
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = delayMs;
  else receiver.playoutDelayHint = delayMs === null ? null : delayMs / 1000;
}
