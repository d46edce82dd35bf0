/** The tokens that a server may ask for: out of the page's address (`?token=…`), or typed in. */

import { element } from "./dom.js";
import { recall, remember } from "./settings.js";

/** @typedef {"whep" | "whip"} Endpoint */

const inAddress = new URLSearchParams(location.search).get("token");

/**
 * What was typed in wins over the address: it was typed because that one did not do.
 * @param {Endpoint} endpoint @returns {string | null}
 */
export const tokenOf = (endpoint) => recall(`token.${endpoint}`, "sessionStorage") ?? inAddress;

/**
 * Asks the visitor, unless that is being done already. The token is kept until the tab is closed.
 *
 * @param {Endpoint} endpoint
 * @returns {Promise<boolean>} Whether one was given.
 */
export async function askForToken(endpoint) {
  const dialog = /** @type {HTMLDialogElement} */ (element("token-dialog"));
  const field = /** @type {HTMLInputElement} */ (element("token"));
  if (dialog.open) return false;
  element("token-wrong").hidden = tokenOf(endpoint) === null;
  field.value = "";
  dialog.returnValue = "";
  // No submit button: the first of them is what Enter presses.
  element("token-cancel").onclick = () => dialog.close();
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const token = field.value.trim();
  if (dialog.returnValue !== "connect" || token === "") return false;
  remember(`token.${endpoint}`, token, "sessionStorage");
  return true;
}
