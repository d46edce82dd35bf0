/** What the visitor chose, kept by the browser where it lets us, and for this visit otherwise. */

/** @type {Map<string, string>} */
const unsaved = new Map();

/** @param {string} name @param {"localStorage" | "sessionStorage"} where */
export function recall(name, where = "localStorage") {
  try {
    return globalThis[where].getItem(`bass-webrtc.${name}`) ?? unsaved.get(name) ?? null;
  } catch {
    return unsaved.get(name) ?? null; // Private windows and strict settings refuse even to be asked.
  }
}

/** @param {string} name @param {string} value @param {"localStorage" | "sessionStorage"} where */
export function remember(name, value, where = "localStorage") {
  unsaved.set(name, value);
  try {
    globalThis[where].setItem(`bass-webrtc.${name}`, value);
  } catch {
    // Then for this visit only.
  }
}

/** @param {string} name @param {number} fallback */
export function recallNumber(name, fallback) {
  const value = recall(name);
  return value === null || !Number.isFinite(Number(value)) ? fallback : Number(value);
}
