/** Settings that a user has changed and the server has not confirmed: incoming state must not undo them meanwhile. */

/** Events that the server sent before it applied a change may arrive after its answer, by at most this long, in ms. */
const GRACE_MS = 400;
/** Shortest time between two requests, in ms: a fader that is dragged changes in every frame. */
const SPACING_MS = 50;

/** @typedef {{ value: unknown, isSeen: boolean, settledAtMs: number | null }} Wish */

/** Sends the changes of one object one request at a time, the latest value of each field. */
export class Pending {
  #send;
  #report;
  #changed;
  /** @type {Map<string, Wish>} */
  #wishes = new Map();
  /** @type {Set<string>} Fields of controls that are being dragged. */
  #held = new Set();
  /** @type {Record<string, unknown>} */
  #unsent = {};
  #sending = false;

  /**
   * @param {(changes: Record<string, any>) => Promise<unknown>} send
   * @param {(error: unknown) => void} report Called when a change was refused; its fields show the server's again.
   * @param {() => void} changed Called when fields show the server's again without another state of the server.
   */
  constructor(send, report, changed) {
    this.#send = send;
    this.#report = report;
    this.#changed = changed;
  }

  /** Keeps incoming state away from a field while its control is being used. @param {string} name */
  hold(name) {
    this.#held.add(name);
  }

  /** @param {string} name */
  release(name) {
    this.#held.delete(name);
  }

  /** Whether a field is being dragged. @param {string} name */
  isHeld(name) {
    return this.#held.has(name);
  }

  /** Changes fields here at once, and at the server soon. @param {Record<string, unknown>} changes */
  change(changes) {
    Object.entries(changes).forEach(([name, value]) =>
      this.#wishes.set(name, { value, isSeen: false, settledAtMs: null }),
    );
    Object.assign(this.#unsent, changes);
    void this.#sendAll();
  }

  /**
   * Takes a state that the server has sent. One that has a change confirms it: what differs later was changed by
   * somebody else.
   * @param {object} state
   */
  confirm(state) {
    for (const [name, wish] of this.#wishes) {
      if (/** @type {any} */ (state)[name] !== wish.value) continue;
      wish.isSeen = true;
      if (wish.settledAtMs !== null && !this.#held.has(name)) this.#wishes.delete(name);
    }
  }

  /**
   * What to show: the server's state with the changes that it may not have applied yet.
   * @template {object} State
   * @param {State} state @returns {State}
   */
  merge(state) {
    const merged = /** @type {any} */ ({ ...state });
    for (const [name, { value, settledAtMs }] of this.#wishes) {
      const isOver = settledAtMs !== null && Date.now() - settledAtMs > GRACE_MS;
      if (isOver && !this.#held.has(name)) this.#wishes.delete(name);
      else merged[name] = value;
    }
    return merged;
  }

  async #sendAll() {
    if (this.#sending) return;
    this.#sending = true;
    while (Object.keys(this.#unsent).length > 0) {
      const changes = this.#unsent;
      this.#unsent = {};
      try {
        await this.#send(changes);
        this.#settle(changes);
      } catch (error) {
        Object.keys(changes).forEach((name) => name in this.#unsent || this.#wishes.delete(name));
        this.#report(error);
      }
      await new Promise((resolve) => setTimeout(resolve, SPACING_MS));
    }
    this.#sending = false;
  }

  /** @param {Record<string, unknown>} changes */
  #settle(changes) {
    for (const name of Object.keys(changes)) {
      const wish = this.#wishes.get(name);
      if (!wish || name in this.#unsent) continue;
      wish.settledAtMs = Date.now();
      if (wish.isSeen && !this.#held.has(name)) this.#wishes.delete(name);
      else setTimeout(this.#changed, GRACE_MS + 1);
    }
  }
}
