/** Keeps the desk's stream of events open: reads it with fetch(), which can send the token, and reconnects. */

import { EventParser } from "./event_parser.js";
import { Problem, problemOf } from "./problem.js";
import { request } from "./session.js";

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;
/** The server writes ten times a second; after this long without anything the connection counts as lost, in ms. */
const SILENCE_MS = 5_000;
const WATCH_EVERY_MS = 1_000;

/** @typedef {"idle" | "connecting" | "live" | "waiting" | "failed"} DeskLinkState */

/**
 * Fires `change` with each state, `desk` with each state of the desk (`lastDesk`), and `levels` with each reading
 * (`lastLevels`).
 */
export class DeskLink extends EventTarget {
  #url;
  #token;
  /** @type {AbortController | null} */
  #abort = null;
  #attempts = 0;
  #heardAtMs = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watch;

  /** @param {string | URL} url `/api/events`. @param {() => string | null} token */
  constructor(url, token) {
    super();
    this.#url = url;
    this.#token = token;
    /** @type {DeskLinkState} */
    this.state = "idle";
    /** @type {Problem | null} Reason for `waiting` or `failed`. */
    this.problem = null;
    /** Time of the next attempt (`Date.now()`, ms) while `waiting`. */
    this.retryAtMs = 0;
    /** @type {any} */
    this.lastDesk = null;
    /** @type {any} */
    this.lastLevels = null;
    addEventListener("online", () => this.state === "waiting" && this.start());
  }

  /** Connects now. */
  start() {
    this.#end();
    void this.#run();
  }

  stop() {
    this.#end();
    this.#attempts = 0;
    this.lastDesk = this.lastLevels = null;
    this.#setState("idle");
  }

  #end() {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #run() {
    const abort = new AbortController();
    this.#abort = abort;
    this.#setState("connecting", this.problem);
    this.#watchSilence(abort);
    const problem = await this.#read(abort.signal).catch((error) =>
      error instanceof Problem ? error : new Problem("lost"),
    );
    if (abort !== this.#abort) return;
    this.#end();
    if (problem.temporary) this.#retryLater(problem);
    else this.#setState("failed", problem);
  }

  /** @param {AbortController} abort */
  #watchSilence(abort) {
    this.#heardAtMs = Date.now();
    // Aborting ends the reading, and so leads to another attempt.
    this.#watch = setInterval(() => {
      if (Date.now() - this.#heardAtMs > SILENCE_MS) abort.abort();
    }, WATCH_EVERY_MS);
  }

  /** @param {AbortSignal} signal @returns {Promise<Problem>} Why the stream has ended. */
  async #read(signal) {
    const headers = { Accept: "text/event-stream" };
    const response = await request(this.#url, { headers, signal }, this.#token());
    if (!response.ok || response.body === null) return problemOf(response);
    const reader = response.body.getReader();
    const [decoder, parser] = [new TextDecoder(), new EventParser()];
    while (!signal.aborted) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) break;
      this.#heardAtMs = Date.now();
      parser.feed(decoder.decode(value, { stream: true })).forEach((event) => this.#take(event));
    }
    return new Problem("lost");
  }

  /** @param {import("./event_parser.js").ServerEvent} event */
  #take({ event, data }) {
    if (event === "levels") {
      this.lastLevels = JSON.parse(data);
      this.dispatchEvent(new Event("levels"));
    } else if (event === "desk") {
      this.lastDesk = JSON.parse(data);
      this.#attempts = 0;
      if (this.state !== "live") this.#setState("live");
      this.dispatchEvent(new Event("desk"));
    }
  }

  /** @param {Problem} problem */
  #retryLater(problem) {
    const backoffMs = Math.min(FIRST_RETRY_MS * 2 ** this.#attempts++, MAX_RETRY_MS);
    const waitMs = (problem.retryAfterS === null ? backoffMs : problem.retryAfterS * 1000) * (1 + Math.random() / 4);
    this.retryAtMs = Date.now() + waitMs;
    this.#timer = setTimeout(() => void this.#run(), waitMs);
    this.#setState("waiting", problem);
  }

  /** @param {DeskLinkState} state @param {Problem | null} [problem] */
  #setState(state, problem = null) {
    this.state = state;
    this.problem = problem;
    this.dispatchEvent(new Event("change"));
  }
}
