/** Keyboard shortcuts of the desk. They can be switched off (WCAG 2.1.4), and the page lists them. */

import { element } from "./dom.js";
import { recall, remember } from "./settings.js";
import { isUsedElsewhere } from "./shortcuts.js";

/** @type {Record<string, string>} Button of the selected caller by key. */
const BUTTONS = {
  o: "on_air",
  h: "waiting",
  p: "private",
  t: "talkback",
  m: "muted",
  r: "recording",
  n: "rename",
  x: "hang-up",
};

/** @param {import("./desk_view.js").DeskView} view */
export function bindDeskKeys(view) {
  const toggle = /** @type {HTMLInputElement} */ (element("shortcuts"));
  toggle.checked = recall("desk-shortcuts") !== "off";
  toggle.addEventListener("change", () => remember("desk-shortcuts", toggle.checked ? "on" : "off"));
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || isUsedElsewhere(event) || element("console").hidden) return;
    if (moveByArrow(view, event) || (toggle.checked && press(view, event))) event.preventDefault();
  });
}

/** Arrow keys move between rows, while a row itself has the focus. @param {import("./desk_view.js").DeskView} view
 * @param {KeyboardEvent} event @returns {boolean} Whether the key was used. */
function moveByArrow(view, { key, target }) {
  if (!(target instanceof HTMLElement) || !target.matches(".strip") || !["ArrowUp", "ArrowDown"].includes(key))
    return false;
  const index = view.rows.findIndex(({ element: row }) => row.contains(target));
  view.focusRow(index + (key === "ArrowDown" ? 1 : -1));
  return true;
}

/** Mutes the producer's microphone or opens it again; the first press connects it. */
function pressMicrophone() {
  const mute = /** @type {HTMLButtonElement} */ (element("mute"));
  (mute.disabled ? element("talk") : mute).click();
}

/** @param {import("./desk_view.js").DeskView} view @param {KeyboardEvent} event @returns {boolean} */
function press(view, { key, repeat }) {
  if (/^[1-9]$/.test(key)) view.focusRow(Number(key) - 1);
  else if (repeat) return false;
  else if (key === "0") view.selected?.resetGain();
  else if (key.toLowerCase() === "k") pressMicrophone();
  else if (key.toLowerCase() in BUTTONS) view.selected?.press(BUTTONS[key.toLowerCase()]);
  else return false;
  return true;
}
