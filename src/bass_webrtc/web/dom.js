/** The page's elements. */

import { recallNumber, remember } from "./settings.js";

/** @param {string} id Of an element that index.html has. */
export const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} id @param {string} text Written only when it changes, so that nothing is announced twice. */
export function write(id, text) {
  const target = element(id);
  if (target.textContent !== text) target.textContent = text;
}

/** @param {number | null | undefined} value @param {number} digits @param {string} unit */
export const figure = (value, digits, unit) => (value == null ? "–" : `${value.toFixed(digits)} ${unit}`);

/**
 * A range input `#name` with its `#name-value`; what it was set to is remembered.
 *
 * @param {string} name
 * @param {number} fallback
 * @param {(value: number) => string} apply Returns the words for the value.
 */
export function bindFader(name, fallback, apply) {
  const input = /** @type {HTMLInputElement} */ (element(name));
  const [lowest, highest] = [Number(input.min), Number(input.max)];
  const show = () => {
    const words = apply(input.valueAsNumber);
    write(`${name}-value`, words);
    input.setAttribute("aria-valuetext", words);
    // Where the groove changes colour; only Firefox can tell that to a style sheet by itself.
    input.style.setProperty("--at", String((input.valueAsNumber - lowest) / (highest - lowest)));
  };
  input.value = String(recallNumber(name, fallback));
  input.addEventListener("input", show);
  input.addEventListener("change", () => remember(name, input.value));
  show();
}
