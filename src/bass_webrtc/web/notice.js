/** Status text of a connection, and the countdown to its next attempt. */

import { element, write } from "./dom.js";

/** @typedef {import("./problem.js").Words} Words */
/** @typedef {import("./link.js").Link<any>} Link */

/**
 * @param {Link} link
 * @param {Words} idle @param {Words} live Text while connected.
 * @returns {Words}
 */
export function statusText(link, idle, live) {
  switch (link.state) {
    case "idle":
      return idle;
    case "connecting":
      return { title: "Connecting…", advice: "" };
    case "live":
      return live;
    case "interrupted":
      return { title: "Reconnecting…", advice: "Connection interrupted. Looking for another path to the server." };
    default:
      return link.problem?.words ?? idle;
  }
}

export class Notice {
  #name;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #countdownTimer;

  /** @param {string} name Prefix of the elements `name-title`, `name-advice`, `name-countdown` and `name-dial`. */
  constructor(name) {
    this.#name = name;
  }

  /** @param {Words} words */
  show({ title, advice }) {
    write(`${this.#name}-title`, title);
    write(`${this.#name}-advice`, advice);
  }

  /**
   * Shows the time to the next attempt; outside the live region, so it is not announced.
   * @param {{ state: string, retryAtMs: number }} link
   */
  showCountdown(link) {
    clearInterval(this.#countdownTimer);
    const update = () => {
      const seconds = Math.max(1, Math.ceil((link.retryAtMs - Date.now()) / 1000));
      write(`${this.#name}-countdown`, link.state === "waiting" ? `Retrying in ${seconds} s` : "");
    };
    update();
    if (link.state === "waiting") this.#countdownTimer = setInterval(update, 250);
  }

  /** Sets the state that the style sheet shows. @param {string} state */
  setState(state) {
    element(`${this.#name}-dial`).dataset.state = state;
  }
}
