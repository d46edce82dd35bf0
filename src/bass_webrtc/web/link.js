/** Keeps a connection alive: opens it, restarts ICE after an interruption, reconnects, and reports its state. */

import { Connection } from "./connection.js";
import { Problem } from "./problem.js";

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;
/** A connection that lasted this long resets the retry backoff. */
const STABLE_MS = 10_000;
/** Wait before an ICE restart, because an interruption may end by itself. */
const GRACE_MS = 1_500;
/** Time for the ICE restart to succeed. */
const RESTART_MS = 8_000;
/** While the server cannot be asked for an ICE restart, ask again this often, in ms. */
const ASK_EVERY_MS = 1_000;
/** Servers keep a session for 30 s without a path; after this, open another, in ms. */
const KEPT_MS = 25_000;
/** How long a new connection waits for the old one's end at the server. */
const END_MS = 1_000;
const STATS_EVERY_MS = 1_000;

/**
 * `idle`: stopped. `connecting`. `live`: media flows. `interrupted`: was live, looking for another path.
 * `waiting`: retries at `retryAtMs`. `failed`: gave up; `problem` says why.
 * @typedef {"idle" | "connecting" | "live" | "interrupted" | "waiting" | "failed"} LinkState
 */

/**
 * Base class of player and publisher, which override `prepare`, `adaptOffer` and `adaptAnswer`.
 * Fires `change` whenever `state` or `problem` changes, and `stats` once a second while live.
 *
 * @template Stats
 */
export class Link extends EventTarget {
  #endpoint;
  #token;
  /** @type {Connection | null} */
  #connection = null;
  /** Resolves when the server has ended the last session. */
  #ended = Promise.resolve();
  #attempts = 0;
  /** Incremented with each dropped connection, to recognise late results of it. */
  #generation = 0;
  #liveSinceMs = 0;
  #interruptedAtMs = 0;
  /** Whether the server could not be asked for an ICE restart, and will be asked again. */
  #asksAgain = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #statsTimer;

  /**
   * @param {() => string | URL} endpoint For the next connection; throws a `Problem` if there is none.
   * @param {() => string | null} token
   */
  constructor(endpoint, token) {
    super();
    this.#endpoint = endpoint;
    this.#token = token;
    /** @type {LinkState} */
    this.state = "idle";
    /** @type {Problem | null} Reason for `waiting` or `failed`. */
    this.problem = null;
    /** Time of the next attempt (`Date.now()`, ms) while `waiting`. */
    this.retryAtMs = 0;
    /** @type {RTCIceServer[]} For the next connection. */
    this.iceServers = [];
    /** @type {Stats | null} Last reading; null before the first. */
    this.stats = null;
    addEventListener("online", () => this.#retryNow());
    addEventListener("pagehide", () => this.stop());
  }

  /** @returns {RTCPeerConnection | null} */
  get pc() {
    return this.#connection?.pc ?? null;
  }

  /**
   * Adds the tracks to a new connection. Called synchronously from `start()`.
   * @protected @abstract @param {RTCPeerConnection} _pc @returns {void}
   */
  prepare(_pc) {}

  /** @protected @param {string} offer @returns {string} The offer to set and send. */
  adaptOffer(offer) {
    return offer;
  }

  /** @protected @param {string} answer @returns {string} The answer to set. */
  adaptAnswer(answer) {
    return answer;
  }

  /** May add details to a problem before it is shown. @protected @param {Problem} _problem @returns {Promise<void>} */
  async explain(_problem) {}

  /**
   * Explains why the server has closed the connection. A problem that is not temporary ends the attempts.
   * @protected @returns {Promise<Problem>}
   */
  async explainEnd() {
    return new Problem("lost");
  }

  /**
   * Asks the server for the state of the session.
   * @protected @returns {Promise<Response | null>} null without a session; rejects with a `Problem` without an answer.
   */
  async readSession() {
    return this.#connection?.readSession() ?? null;
  }

  /**
   * Creates a statistics reader for a new connection.
   * @protected @abstract @returns {{ read(pc: RTCPeerConnection): Promise<Stats | null> }}
   */
  makeReader() {
    throw new Error("not implemented");
  }

  /** Connects; if a retry is pending, connects now. */
  start() {
    if (this.state !== "idle" && this.state !== "failed" && this.state !== "waiting") return;
    this.#attempts = 0;
    void this.#open();
  }

  stop() {
    this.#dropConnection();
    this.#setState("idle");
  }

  /** Connects anew if it is on: the endpoint has changed. */
  async reconnect() {
    if (this.state === "failed") return this.stop();
    if (this.state === "idle") return;
    this.#attempts = 0;
    this.#dropConnection();
    const generation = this.#generation;
    this.#setState("connecting");
    // A full server has no slot for the new session before the old one has ended.
    await Promise.race([this.#ended, new Promise((resolve) => setTimeout(resolve, END_MS))]);
    if (generation === this.#generation) await this.#open();
  }

  /** Stops permanently, with a reason. @param {Problem} problem */
  fail(problem) {
    this.#dropConnection();
    this.#setState("failed", problem);
  }

  async #open() {
    this.#dropConnection();
    const generation = this.#generation;
    this.#setState("connecting", this.problem);
    try {
      await this.#createConnection().open();
      if (generation === this.#generation) this.#becomeLive();
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem("unreadable", { detail: String(error) });
      await this.explain(problem);
      if (generation === this.#generation) this.#handleFailure(problem);
    }
  }

  #createConnection() {
    if (typeof RTCPeerConnection === "undefined") throw new Problem("unsupported");
    const connection = new Connection({
      endpoint: this.#endpoint(),
      token: this.#token(),
      iceServers: this.iceServers,
      prepare: (pc) => this.prepare(pc),
      adaptOffer: (offer) => this.adaptOffer(offer),
      adaptAnswer: (answer) => this.adaptAnswer(answer),
      onState: (state) => {
        if (connection === this.#connection && this.state !== "connecting") this.#handleState(state);
      },
    });
    this.#connection = connection;
    return connection;
  }

  /** @param {Problem} problem */
  #handleFailure(problem) {
    if (problem.temporary) this.#retryLater(problem);
    else this.fail(problem);
  }

  /** @param {import("./connection.js").ConnectionState} state */
  #handleState(state) {
    if (state === "connected") this.#becomeLive();
    else if (!this.#wasLive) return;
    else if (state === "ended") void this.#handleEnd();
    else if (this.state === "live") this.#restartIceAfter(state === "failed" ? 0 : GRACE_MS);
    else if (state === "failed" && !this.#asksAgain) this.#retryLater(new Problem("lost"));
  }

  get #wasLive() {
    return this.state === "live" || this.state === "interrupted";
  }

  async #handleEnd() {
    const connection = this.#connection;
    const problem = await this.explainEnd();
    if (connection === this.#connection && this.#wasLive) this.#handleFailure(problem);
  }

  #becomeLive() {
    clearTimeout(this.#timer);
    this.#asksAgain = false;
    this.#liveSinceMs = Date.now();
    this.#setState("live");
  }

  /** @param {number} graceMs */
  #restartIceAfter(graceMs) {
    if (this.state !== "interrupted") this.#interruptedAtMs = Date.now();
    this.#setState("interrupted", new Problem("lost"));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#restartIce(), graceMs);
  }

  async #restartIce() {
    const connection = this.#connection;
    const accepted = await connection?.restart();
    if (connection !== this.#connection || this.state !== "interrupted") return;
    clearTimeout(this.#timer);
    this.#asksAgain = accepted === null && Date.now() - this.#interruptedAtMs < KEPT_MS;
    if (this.#asksAgain) this.#timer = setTimeout(() => void this.#restartIce(), ASK_EVERY_MS);
    else this.#timer = setTimeout(() => this.#retryLater(new Problem("lost")), accepted ? RESTART_MS : 0);
  }

  /**
   * Keeps the old connection until the next attempt: it may recover, and by then the network may be up again, which is
   * needed to end its session.
   * @param {Problem} problem
   */
  #retryLater(problem) {
    if (Date.now() - this.#liveSinceMs > STABLE_MS && this.#liveSinceMs > 0) this.#attempts = 0;
    this.#liveSinceMs = 0;
    const backoffMs = Math.min(FIRST_RETRY_MS * 2 ** this.#attempts++, MAX_RETRY_MS);
    // Jitter: listeners that lost the server together must not reconnect at the same moment.
    const waitMs = (problem.retryAfterS === null ? backoffMs : problem.retryAfterS * 1000) * (1 + Math.random() / 4);
    this.retryAtMs = Date.now() + waitMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#open(), waitMs);
    this.#setState("waiting", problem);
  }

  /**
   * Looks for another path while the connection still counts as live, which browsers notice up to 7 s after a change of
   * the network. The audio continues on the present path until there is another; if none is found, the connection will
   * be interrupted.
   * @protected
   */
  findPath() {
    if (this.state === "live") void this.#connection?.restart();
  }

  /** Called when the network is back: skip a wait that its absence caused. */
  #retryNow() {
    this.findPath();
    if (this.state === "interrupted") this.#restartIceAfter(0);
    if (this.state === "waiting" && this.problem?.status === 0) void this.#open();
  }

  #dropConnection() {
    this.#generation++;
    this.#asksAgain = false;
    clearTimeout(this.#timer);
    if (this.#connection?.iceServers.length) this.iceServers = this.#connection.iceServers;
    if (this.#connection !== null) this.#ended = this.#connection.close();
    this.#connection = null;
  }

  /** @param {LinkState} state @param {Problem | null} [problem] */
  #setState(state, problem = null) {
    this.state = state;
    this.problem = problem;
    clearInterval(this.#statsTimer);
    if (state === "live") this.#startReadingStats();
    else if (state !== "interrupted") this.stats = null;
    this.dispatchEvent(new Event("change"));
  }

  #startReadingStats() {
    const reader = this.makeReader();
    const read = async () => {
      const { pc } = this;
      const stats = pc && (await reader.read(pc).catch(() => null));
      if (pc !== this.pc || this.state !== "live" || !stats) return;
      this.stats = stats;
      this.dispatchEvent(new Event("stats"));
    };
    this.#statsTimer = setInterval(read, STATS_EVERY_MS);
    void read();
  }
}
