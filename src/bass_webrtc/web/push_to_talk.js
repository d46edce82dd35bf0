/** Push-to-talk by button or key; released automatically when the page loses the focus. */

import { isUsedElsewhere } from "./shortcuts.js";

/**
 * @param {HTMLElement} button
 * @param {string} key Lower-case `KeyboardEvent.key`.
 * @param {() => boolean} isActive Whether push-to-talk is currently enabled.
 * @param {(held: boolean) => void} onHold
 */
export function bindPushToTalk(button, key, isActive, onHold) {
  let held = false;
  const hold = (/** @type {boolean} */ now) => {
    if (held === now || (now && !isActive())) return;
    held = now;
    onHold(held);
  };
  button.addEventListener("pointerdown", (event) => {
    if (isActive()) button.setPointerCapture(event.pointerId);
    hold(true);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
    button.addEventListener(end, () => hold(false));
  // A long press on a phone would open the context menu and cancel the press.
  button.addEventListener("contextmenu", (event) => isActive() && event.preventDefault());
  addEventListener("keydown", (event) => {
    if (event.key === undefined) return; // A form that the browser fills in sends such events.
    const onButton = event.target === button && (event.key === " " || event.key === "Enter");
    if (!onButton && (event.key.toLowerCase() !== key || isUsedElsewhere(event))) return;
    if (onButton && isActive()) event.preventDefault();
    if (!event.repeat) hold(true);
  });
  addEventListener("keyup", (event) => {
    if ([key, " ", "enter"].includes(event.key?.toLowerCase())) hold(false);
  });
  addEventListener("blur", () => hold(false));
  document.addEventListener("visibilitychange", () => hold(false));
}
