/** The call of a guest: its invite and name, its state at the server, and why it cannot begin or has ended. */

import { Caller } from "./caller.js";
import { Problem, addProblems } from "./problem.js";
import { describe } from "./session.js";

const READ_EVERY_MS = 1_000;

addProblems({
  "no-invite": { temporary: false, title: "You need an invitation", advice: "" },
  "wrong-invite": { temporary: false, title: "This invitation is not valid", advice: "" },
  "over-invite": { temporary: false, title: "This invitation has ended", advice: "" },
  "busy-invite": { temporary: true, title: "This invitation is in use", advice: "" },
  "no-lines": { temporary: true, title: "All lines are busy", advice: "Stay here: the page keeps trying." },
  "no-calls": { temporary: false, title: "This station takes no calls", advice: "" },
  ended: { temporary: false, title: "The call has ended", advice: "" },
});

/** @type {Record<number, string>} Kind of a problem by the status of the answer to the offer. */
const KINDS = { 404: "no-calls", 409: "busy-invite", 410: "over-invite", 503: "no-lines" };

/**
 * @typedef {object} CallState
 * @property {string} name What the producer sees.
 * @property {"waiting" | "on_air" | "private"} state
 * @property {number | null} position In the queue; 1 is next.
 */

/**
 * @typedef {object} GuestFacts
 * @property {URL} endpoint `/call`.
 * @property {string} invite Its secret; empty without one.
 * @property {() => string} name What the guest has entered.
 */

/** @typedef {Omit<import("./caller.js").CallerOptions, "endpoint"> & GuestFacts} GuestOptions */

/** Fires `call` when the server reports another state, in addition to the events of `Publisher`. */
export class GuestCall extends Caller {
  #endpoint;
  #token;
  #invite;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #reading = false;

  /** @param {GuestOptions} options */
  constructor({ endpoint, invite, name, ...options }) {
    super({ ...options, endpoint: () => callUrl(endpoint, invite, name()) });
    this.#endpoint = endpoint;
    this.#token = options.token;
    this.#invite = invite;
    /** @type {CallState | null} null until the server has answered. */
    this.call = null;
    this.addEventListener("change", () => this.#watch());
  }

  /** Asks for TURN servers before the guest joins: they must be known when the connection is created. */
  async findServers() {
    // With the invite: the server gives credentials only to those who may call.
    const found = await describe(callUrl(this.#endpoint, this.#invite, ""), this.#token()).catch(() => null);
    if (found) this.iceServers = found.iceServers;
  }

  /** @protected @override @param {Problem} problem */
  async explain(problem) {
    if (problem.status === 403) problem.kind = this.#invite === "" ? "no-invite" : "wrong-invite";
    else problem.kind = KINDS[problem.status] ?? problem.kind;
  }

  /** @protected @override */
  async explainEnd() {
    const response = await this.readSession().catch(() => null);
    return (response && (await endOf(response))) ?? new Problem("lost");
  }

  /** Reads the state while the call is connected. */
  #watch() {
    const isOn = this.state === "live" || this.state === "interrupted";
    if (isOn === (this.#timer !== undefined)) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#setCall(null);
    if (!isOn) return;
    this.#timer = setInterval(() => void this.#read(), READ_EVERY_MS);
    void this.#read();
  }

  async #read() {
    if (this.#reading) return;
    this.#reading = true;
    const { pc } = this;
    const response = await this.readSession().catch(() => null); // Whether the media flows is judged by the link.
    const end = response && (await endOf(response));
    const answer = response?.ok ? await response.json().catch(() => null) : null;
    this.#reading = false;
    if (pc !== this.pc || this.#timer === undefined) return;
    if (end) this.fail(end);
    else if (answer?.state === "ended") this.fail(ended(answer.reason));
    else if (answer) this.#setCall({ name: String(answer.name ?? ""), state: answer.state, position: answer.position });
  }

  /** @param {CallState | null} call */
  #setCall(call) {
    if (JSON.stringify(call) === JSON.stringify(this.call)) return;
    this.call = call;
    this.dispatchEvent(new Event("call"));
  }
}

/** @param {URL} endpoint @param {string} invite @param {string} name */
function callUrl(endpoint, invite, name) {
  const url = new URL(endpoint);
  // Not URLSearchParams, which writes a space as a plus sign.
  const pairs = Object.entries({ invite, name }).filter(([, value]) => value !== "");
  url.search = pairs.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  return url;
}

/** @param {unknown} reason */
const ended = (reason) => new Problem("ended", { detail: String(reason || "The producer has hung up") });

/** Why the server no longer has the session; null if it has it. @param {Response} response */
async function endOf(response) {
  if (response.status !== 404 && response.status !== 410) return null;
  const problem = response.status === 410 ? await response.json().catch(() => null) : null;
  return ended(problem?.detail);
}
