/** Push-to-talk by button or key; released automatically when the page loses the focus. */

/** Whether a key is input for a field or part of a shortcut. @param {KeyboardEvent} event */
const isUsedElsewhere = (event) =>
  event.ctrlKey ||
  event.metaKey ||
  event.altKey ||
  (event.target instanceof HTMLElement && event.target.matches("select, input:not([type=checkbox], [type=range])"));

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
    const onButton = event.target === button && (event.key === " " || event.key === "Enter");
    if (!onButton && (event.key.toLowerCase() !== key || isUsedElsewhere(event))) return;
    if (onButton && isActive()) event.preventDefault();
    if (!event.repeat) hold(true);
  });
  addEventListener("keyup", (event) => {
    if ([key, " ", "enter"].includes(event.key.toLowerCase())) hold(false);
  });
  addEventListener("blur", () => hold(false));
  document.addEventListener("visibilitychange", () => hold(false));
}
