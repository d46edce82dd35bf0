/** The words on a glass: what a link is doing, and how long until it tries again. */

import { element, write } from "./dom.js";

/** @typedef {import("./problem.js").Words} Words */
/** @typedef {import("./link.js").Link<any>} Link */

/**
 * @param {Link} link
 * @param {Words} idle @param {Words} live What to say while all is well.
 * @returns {Words}
 */
export function wordsFor(link, idle, live) {
  switch (link.state) {
    case "idle":
      return idle;
    case "connecting":
      return { title: "Connecting.", advice: "" };
    case "live":
      return live;
    case "interrupted":
      return { title: "One moment.", advice: "The connection broke off. Looking for another way to the server." };
    default:
      return link.problem?.words ?? idle;
  }
}

export class Notice {
  #name;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #counting;

  /** @param {string} name Of the elements `name-title`, `name-advice` and `name-countdown`. */
  constructor(name) {
    this.#name = name;
  }

  /** @param {Words} words */
  say({ title, advice }) {
    write(`${this.#name}-title`, title);
    write(`${this.#name}-advice`, advice);
  }

  /** Shows how long until the next attempt; not announced, it would never stop talking. @param {Link} link */
  count(link) {
    clearInterval(this.#counting);
    const show = () => {
      const seconds = Math.max(1, Math.ceil((link.retryAtMs - Date.now()) / 1000));
      write(`${this.#name}-countdown`, link.state === "waiting" ? `Trying again in ${seconds} s` : "");
    };
    show();
    if (link.state === "waiting") this.#counting = setInterval(show, 250);
  }

  /** Lights the glass. @param {string} state */
  light(state) {
    element(`${this.#name}-dial`).dataset.state = state;
  }
}
