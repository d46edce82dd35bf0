/** A button that is held, on the screen or as a key, and lets go by itself when the page is left. */

/** @param {KeyboardEvent} event Whether it is meant for a field, or is somebody else's shortcut. */
const isTaken = (event) =>
  event.ctrlKey ||
  event.metaKey ||
  event.altKey ||
  (event.target instanceof HTMLElement && event.target.matches("select, input:not([type=checkbox], [type=range])"));

/**
 * @param {HTMLElement} button
 * @param {string} key Lower case, as `KeyboardEvent.key` has it.
 * @param {() => boolean} isActive Whether holding means anything at the moment.
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
  // A long press on a phone would open a menu and take the finger away.
  button.addEventListener("contextmenu", (event) => isActive() && event.preventDefault());
  addEventListener("keydown", (event) => {
    const onButton = event.target === button && (event.key === " " || event.key === "Enter");
    if (!onButton && (event.key.toLowerCase() !== key || isTaken(event))) return;
    if (onButton && isActive()) event.preventDefault();
    if (!event.repeat) hold(true);
  });
  addEventListener("keyup", (event) => {
    if ([key, " ", "enter"].includes(event.key.toLowerCase())) hold(false);
  });
  addEventListener("blur", () => hold(false));
  document.addEventListener("visibilitychange", () => hold(false));
}
