/** Notices that the browser plays nothing although audio arrives, as it does without a sound device. */

import { audioContext } from "./meter.js";

/** Readings without progress before it counts: a device may take some seconds to open. */
const PATIENCE_READINGS = 4;

/**
 * Judges by clocks, never by levels: a silent programme and a muted element are no faults. Without a device Firefox
 * decodes and advances the media element, but its audio context stays suspended; a device that hangs stops the decoder.
 */
export class OutputWatch {
  #stuckReadings = 0;
  #clockS = -1;
  /** @type {import("./inbound_stats.js").ListenStats | null} */
  #before = null;

  /** Whether the browser plays nothing. */
  get isStuck() {
    return this.#stuckReadings >= PATIENCE_READINGS;
  }

  /** Forgets what was read: a new stream starts. */
  reset() {
    this.#stuckReadings = 0;
    this.#clockS = -1;
    this.#before = null;
  }

  /** Call it about once a second while audio arrives. @param {import("./inbound_stats.js").ListenStats} stats */
  read(stats) {
    const context = audioContext(); // Resumes it: a device may have been connected.
    const before = this.#before;
    this.#before = stats;
    const isDecoderStuck =
      before !== null &&
      before.totalSamplesReceived > 0 && // Not every browser counts them.
      stats.packetsReceived > before.packetsReceived &&
      stats.totalSamplesReceived === before.totalSamplesReceived;
    // iOS interrupts the context during a call and may leave it so afterwards, while the element plays.
    const isClockStuck = context.currentTime === this.#clockS && ["suspended", "running"].includes(context.state);
    this.#clockS = context.currentTime;
    this.#stuckReadings = isDecoderStuck || isClockStuck ? this.#stuckReadings + 1 : 0;
  }
}
