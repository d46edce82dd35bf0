/** Keeps one connection alive: opens it, heals it, opens it again. Says at any time what it is doing. */

import { Connection } from "./connection.js";
import { Problem } from "./problem.js";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
/** A connection that held this long has earned quick retries again. */
const STABLE_MS = 10_000;
/** An interruption may pass by itself; after this we ask for an ICE restart. */
const GRACE_MS = 1_500;
/** After this the restart has failed. */
const RESTART_MS = 8_000;
const STATS_EVERY_MS = 1_000;

/**
 * `idle`: not wanted. `connecting`. `live`: media flows. `interrupted`: was live, looking for another path.
 * `waiting`: tries again at `retryAtMs`. `failed`: will not try again by itself; `problem` says why.
 * @typedef {"idle" | "connecting" | "live" | "interrupted" | "waiting" | "failed"} LinkState
 */

/**
 * What players and publishers have in common; by `prepare`, `adaptOffer` and `adaptAnswer` they say what is exchanged.
 * Fires `change` whenever `state` or `problem` changes, and `stats` once a second while live.
 *
 * @template Stats
 */
export class Link extends EventTarget {
  #endpoint;
  #token;
  /** @type {Connection | null} */
  #connection = null;
  #attempts = 0;
  /** Counts what was given up, so that late answers to it are known as such. */
  #generation = 0;
  #liveSinceMs = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #reading;

  /** @param {string | URL} endpoint @param {() => string | null} token */
  constructor(endpoint, token) {
    super();
    this.#endpoint = endpoint;
    this.#token = token;
    /** @type {LinkState} */
    this.state = "idle";
    /** @type {Problem | null} Why it waits or failed. */
    this.problem = null;
    /** When the next attempt is due, in ms of `Date.now()`; while `waiting`. */
    this.retryAtMs = 0;
    /** @type {RTCIceServer[]} For the next connection. */
    this.iceServers = [];
    /** @type {Stats | null} The last reading; null before the first. */
    this.stats = null;
    addEventListener("online", () => this.#hurry());
    addEventListener("pagehide", () => this.stop());
  }

  /** @returns {RTCPeerConnection | null} */
  get pc() {
    return this.#connection?.pc ?? null;
  }

  /**
   * Adds the tracks to a new connection. Called within `start()`, before anything waits.
   * @protected @abstract @param {RTCPeerConnection} _pc @returns {void}
   */
  prepare(_pc) {}

  /** @protected @param {string} offer @returns {string} The offer as it is set and sent. */
  adaptOffer(offer) {
    return offer;
  }

  /** @protected @param {string} answer @returns {string} The answer as it is set. */
  adaptAnswer(answer) {
    return answer;
  }

  /** May add facts to a problem before it is shown. @protected @param {Problem} _problem @returns {Promise<void>} */
  async explain(_problem) {}

  /**
   * Reads a new connection's statistics.
   * @protected @abstract @returns {{ read(pc: RTCPeerConnection): Promise<Stats | null> }}
   */
  makeReader() {
    throw new Error("not implemented");
  }

  /** Connects, also when it was about to try again later anyway. */
  start() {
    if (this.state !== "idle" && this.state !== "failed" && this.state !== "waiting") return;
    this.#attempts = 0;
    void this.#open();
  }

  stop() {
    this.#drop();
    this.#enter("idle");
  }

  /** @param {Problem} problem Ends it for good. */
  fail(problem) {
    this.#drop();
    this.#enter("failed", problem);
  }

  async #open() {
    this.#drop();
    const generation = this.#generation;
    this.#enter("connecting", this.problem);
    try {
      await this.#connect().open();
      if (generation === this.#generation) this.#settle();
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem("unreadable", { detail: String(error) });
      await this.explain(problem);
      if (generation === this.#generation) this.#stumble(problem);
    }
  }

  #connect() {
    if (typeof RTCPeerConnection === "undefined") throw new Problem("unsupported");
    const connection = new Connection({
      endpoint: this.#endpoint,
      token: this.#token(),
      iceServers: this.iceServers,
      prepare: (pc) => this.prepare(pc),
      adaptOffer: (offer) => this.adaptOffer(offer),
      adaptAnswer: (answer) => this.adaptAnswer(answer),
      onState: (state) => {
        if (connection === this.#connection && this.state !== "connecting") this.#follow(state);
      },
    });
    this.#connection = connection;
    return connection;
  }

  /** @param {Problem} problem */
  #stumble(problem) {
    if (problem.passes) this.#retryLater(problem);
    else this.fail(problem);
  }

  /** @param {import("./connection.js").ConnectionState} state */
  #follow(state) {
    const wasLive = this.state === "live" || this.state === "interrupted";
    if (state === "connected") this.#settle();
    else if (!wasLive) return;
    else if (state === "ended") this.#retryLater(new Problem("lost"));
    else if (this.state === "live") this.#heal(state === "failed" ? 0 : GRACE_MS);
    else if (state === "failed") this.#retryLater(new Problem("lost"));
  }

  #settle() {
    clearTimeout(this.#timer);
    this.#liveSinceMs = Date.now();
    this.#enter("live");
  }

  /** @param {number} graceMs */
  #heal(graceMs) {
    this.#enter("interrupted", new Problem("lost"));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const connection = this.#connection;
      const goesOn = await connection?.restart();
      if (connection !== this.#connection || this.state !== "interrupted") return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#retryLater(new Problem("lost")), goesOn ? RESTART_MS : 0);
    }, graceMs);
  }

  /**
   * The old connection is kept until the next attempt: it may come back by itself, and the network that is needed to
   * end its session may be back by then.
   * @param {Problem} problem
   */
  #retryLater(problem) {
    if (Date.now() - this.#liveSinceMs > STABLE_MS && this.#liveSinceMs > 0) this.#attempts = 0;
    this.#liveSinceMs = 0;
    const backoffMs = Math.min(FIRST_RETRY_MS * 2 ** this.#attempts++, LONGEST_RETRY_MS);
    // Listeners that were thrown out together must not come back together.
    const waitMs = (problem.retryAfterS === null ? backoffMs : problem.retryAfterS * 1000) * (1 + Math.random() / 4);
    this.retryAtMs = Date.now() + waitMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#open(), waitMs);
    this.#enter("waiting", problem);
  }

  /** The network is back: no need to sit out a wait that it caused. */
  #hurry() {
    if (this.state === "interrupted") this.#heal(0);
    if (this.state === "waiting" && this.problem?.status === 0) void this.#open();
  }

  #drop() {
    this.#generation++;
    clearTimeout(this.#timer);
    if (this.#connection?.iceServers.length) this.iceServers = this.#connection.iceServers;
    this.#connection?.close();
    this.#connection = null;
  }

  /** @param {LinkState} state @param {Problem | null} [problem] */
  #enter(state, problem = null) {
    this.state = state;
    this.problem = problem;
    clearInterval(this.#reading);
    if (state === "live") this.#observe();
    else if (state !== "interrupted") this.stats = null;
    this.dispatchEvent(new Event("change"));
  }

  #observe() {
    const reader = this.makeReader();
    const read = async () => {
      const { pc } = this;
      const stats = pc && (await reader.read(pc).catch(() => null));
      if (pc !== this.pc || this.state !== "live" || !stats) return;
      this.stats = stats;
      this.dispatchEvent(new Event("stats"));
    };
    this.#reading = setInterval(read, STATS_EVERY_MS);
    void read();
  }
}
