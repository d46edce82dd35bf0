/** Keeps the screen on during a call: a phone that locks its screen may close the microphone. */

export class WakeLock {
  #wanted = false;
  /** @type {WakeLockSentinel | null} */
  #sentinel = null;

  constructor() {
    // The browser releases the lock when the page is hidden.
    document.addEventListener("visibilitychange", () => void this.#apply());
  }

  /** @param {boolean} wanted */
  set(wanted) {
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    void this.#apply();
  }

  /** Whether the screen is kept on. */
  get held() {
    return this.#sentinel !== null && !this.#sentinel.released;
  }

  async #apply() {
    if (!this.#wanted) {
      await this.#sentinel?.release().catch(() => null);
      this.#sentinel = null;
    } else if (!this.held && document.visibilityState === "visible") {
      // Not every browser has it, and it is refused when the battery is low.
      const sentinel = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
      if (this.#wanted) this.#sentinel = sentinel;
      else await sentinel?.release();
    }
  }
}
