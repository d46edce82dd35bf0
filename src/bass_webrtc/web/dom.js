/** Access to the elements of the page. */

import { recallNumber, remember } from "./settings.js";

/** @param {string} id An element of the page. */
export const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Writes text only if it changed, so that it is not announced twice. @param {string} id @param {string} text */
export function write(id, text) {
  const target = element(id);
  if (target.textContent !== text) target.textContent = text;
}

/** @param {number | null | undefined} value @param {number} digits @param {string} unit */
export const figure = (value, digits, unit) => (value == null ? "–" : `${value.toFixed(digits)} ${unit}`);

/**
 * Binds the range input `#name` and its output `#name-value`, and remembers the value.
 *
 * @param {string} name
 * @param {number} fallback
 * @param {(value: number) => string} apply Uses the value; returns the text to show for it.
 */
export function bindFader(name, fallback, apply) {
  const input = /** @type {HTMLInputElement} */ (element(name));
  const [lowest, highest] = [Number(input.min), Number(input.max)];
  const show = () => {
    const text = apply(input.valueAsNumber);
    write(`${name}-value`, text);
    input.setAttribute("aria-valuetext", text);
    // Where the track changes colour; only Firefox exposes this to style sheets.
    input.style.setProperty("--at", String((input.valueAsNumber - lowest) / (highest - lowest)));
  };
  input.value = String(recallNumber(name, fallback));
  input.addEventListener("input", show);
  input.addEventListener("change", () => remember(name, input.value));
  show();
}
