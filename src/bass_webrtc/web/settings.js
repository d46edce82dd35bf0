/** The user's settings, kept in web storage if the browser allows it, otherwise until the page is closed. */

/** @type {Map<string, string>} */
const unsaved = new Map();

/** @param {string} name @param {"localStorage" | "sessionStorage"} where */
export function recall(name, where = "localStorage") {
  try {
    return globalThis[where].getItem(`bass-webrtc.${name}`) ?? unsaved.get(name) ?? null;
  } catch {
    return unsaved.get(name) ?? null; // Private windows and strict settings throw on any access.
  }
}

/** @param {string} name @param {string} value @param {"localStorage" | "sessionStorage"} where */
export function remember(name, value, where = "localStorage") {
  unsaved.set(name, value);
  try {
    globalThis[where].setItem(`bass-webrtc.${name}`, value);
  } catch {
    // Kept in `unsaved` only.
  }
}

/** @param {string} name @param {number} fallback */
export function recallNumber(name, fallback) {
  const value = recall(name);
  return value === null || !Number.isFinite(Number(value)) ? fallback : Number(value);
}

/** @param {string} name @param {"localStorage" | "sessionStorage"} where */
export function forget(name, where = "localStorage") {
  unsaved.delete(name);
  try {
    globalThis[where].removeItem(`bass-webrtc.${name}`);
  } catch {
    // It was kept in `unsaved` only.
  }
}
