/** Bearer tokens of the endpoints, from the page's URL (`?token=…`) or typed in. */

import { element } from "./dom.js";
import { recall, remember } from "./settings.js";

/** @typedef {"whep" | "whip"} Endpoint */

const tokenInUrl = new URLSearchParams(location.search).get("token");

/**
 * The token of an endpoint. A typed token takes precedence: it was typed because the one in the URL was rejected.
 * @param {Endpoint} endpoint @returns {string | null}
 */
export const tokenOf = (endpoint) => recall(`token.${endpoint}`, "sessionStorage") ?? tokenInUrl;

/**
 * Asks the user for a token, unless the dialog is open already. The token is kept until the tab is closed.
 *
 * @param {Endpoint} endpoint
 * @returns {Promise<boolean>} Whether a token was entered.
 */
export async function askForToken(endpoint) {
  const dialog = /** @type {HTMLDialogElement} */ (element("token-dialog"));
  const field = /** @type {HTMLInputElement} */ (element("token"));
  if (dialog.open) return false;
  element("token-wrong").hidden = tokenOf(endpoint) === null;
  field.value = "";
  dialog.returnValue = "";
  // Cancel is not a submit button, because Enter presses the first submit button.
  element("token-cancel").onclick = () => dialog.close();
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const token = field.value.trim();
  if (dialog.returnValue !== "connect" || token === "") return false;
  remember(`token.${endpoint}`, token, "sessionStorage");
  return true;
}
