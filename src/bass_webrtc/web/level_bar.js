/** A level bar whose readings come from the server, ten times a second. */

import { decibels, share } from "./dial.js";

const FLOOR_DB = -60;
/** How often the level is updated for assistive technology. */
const ANNOUNCE_EVERY_MS = 1000;

export class LevelBar {
  #bar;
  #fill;
  #figure;
  #announcedAtMs = 0;

  /** @param {HTMLElement} bar An element with role `meter` that contains a `.fill`, and perhaps a `.figure`. */
  constructor(bar) {
    this.#bar = bar;
    this.#fill = /** @type {HTMLElement} */ (bar.querySelector(".fill"));
    this.#figure = bar.querySelector(".figure");
    this.show(null);
  }

  /** @param {number | null} db dBFS; null is silence. */
  show(db) {
    const level = Math.max(db ?? FLOOR_DB, FLOOR_DB);
    this.#fill.style.clipPath = `inset(0 ${(100 * (1 - share(level))).toFixed(1)}% 0 0)`;
    if (this.#figure) this.#figure.textContent = decibels(level);
    if (Date.now() - this.#announcedAtMs < ANNOUNCE_EVERY_MS) return;
    this.#announcedAtMs = Date.now();
    this.#bar.setAttribute("aria-valuenow", String(Math.round(level)));
    this.#bar.setAttribute("aria-valuetext", level <= FLOOR_DB ? "silent" : `${Math.round(level)} dBFS`);
  }
}
