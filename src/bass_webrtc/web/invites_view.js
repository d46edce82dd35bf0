/** Invitations on the desk: makes links, lists and revokes them. */

import { ConfirmButton } from "./confirm_button.js";
import { element, write } from "./dom.js";

const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;

/** @typedef {import("./desk_api.js").Invite} Invite */

/** @param {number} seconds */
function timeText(seconds) {
  const [size, unit] =
    seconds >= 2 * DAY_S ? [DAY_S, "days"] : seconds >= 2 * HOUR_S ? [HOUR_S, "h"] : [MINUTE_S, "min"];
  return `${Math.max(0, Math.round(seconds / size))} ${unit}`;
}

/** @param {Invite} invite */
function facts({ uses_left: uses, expires_at: expiresAt }) {
  return `${uses === 1 ? "1 use" : `${uses} uses`} left, expires in ${timeText(expiresAt - Date.now() / 1000)}`;
}

export class InvitesView {
  #api;
  #desk;
  /** @type {Map<string, string>} Links by invite. Only the answer to the creation has them. */
  #links = new Map();
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /** @param {import("./desk_api.js").DeskApi} api @param {import("./desk_view.js").DeskView} desk */
  constructor(api, desk) {
    this.#api = api;
    this.#desk = desk;
    element("invite-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#make();
    });
    element("invite-copy").addEventListener("click", () => void this.#copy(this.#linkField.value));
    element("invite-share").addEventListener("click", () => {
      void navigator.share({ url: this.#linkField.value }).catch(() => null); // The user has cancelled it.
    });
    element("invite-share").hidden = navigator.share === undefined;
    this.#linkField.addEventListener("focus", () => this.#linkField.select());
  }

  get #linkField() {
    return /** @type {HTMLInputElement} */ (element("invite-link"));
  }

  /** @param {Invite[]} invites */
  show(invites) {
    const ids = new Set(invites.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      const hadFocus = row.contains(document.activeElement);
      row.remove();
      this.#rows.delete(id);
      if (hadFocus) element("invites-title").focus();
    }
    for (const invite of invites) {
      const row = this.#rows.get(invite.id) ?? this.#addRow(invite);
      const text = /** @type {HTMLElement} */ (row.querySelector(".invite-facts"));
      if (text.textContent !== facts(invite)) text.textContent = facts(invite);
      /** @type {HTMLElement} */ (row.querySelector("[data-action=copy]")).hidden = !this.#links.has(invite.id);
    }
    element("no-invites").hidden = invites.length > 0;
  }

  async #make() {
    const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (element(id)).value.trim();
    const wishes = { uses: Number(value("invite-uses")), expires_s: Number(value("invite-expiry")) };
    const name = value("invite-name");
    try {
      const invite = await this.#api.makeInvite(name === "" ? wishes : { ...wishes, name });
      // Relative to the page, which a proxy may serve under a prefix.
      const link = new URL((invite.url ?? "").replace(/^\//, ""), document.baseURI).href;
      this.#links.set(invite.id, link);
      this.#linkField.value = link;
      element("new-invite").hidden = false;
      write("new-invite-title", `Link for ${invite.name || "a caller"}`);
      element("invite-copy").focus();
      this.#desk.announce("The link is ready.");
      /** @type {HTMLInputElement} */ (element("invite-name")).value = "";
    } catch (error) {
      this.#desk.report(error);
    }
  }

  /** @param {string} link */
  async #copy(link) {
    this.#linkField.value = link;
    element("new-invite").hidden = false;
    try {
      await navigator.clipboard.writeText(link);
      write("invite-copied", "Copied.");
    } catch {
      this.#linkField.focus(); // Without HTTPS there is no clipboard; the focus selects the text.
      write("invite-copied", "Press Ctrl+C to copy.");
    }
    this.#desk.announce(element("invite-copied").textContent ?? "");
    setTimeout(() => write("invite-copied", ""), 4_000);
  }

  /** @param {Invite} invite */
  #addRow({ id, name }) {
    const template = /** @type {HTMLTemplateElement} */ (element("invite-row"));
    const row = /** @type {HTMLElement} */ (template.content.cloneNode(true)).firstElementChild;
    const made = /** @type {HTMLElement} */ (row);
    const shown = name || "Any name";
    /** @type {HTMLElement} */ (made.querySelector(".invite-name")).textContent = shown;
    const button = (/** @type {string} */ action) =>
      /** @type {HTMLElement} */ (made.querySelector(`[data-action=${action}]`));
    button("copy").addEventListener("click", () => {
      write("new-invite-title", `Link for ${name || "a caller"}`);
      void this.#copy(this.#links.get(id) ?? "");
    });
    button("copy").setAttribute("aria-label", `Copy link for ${shown}`);
    new ConfirmButton(
      button("revoke"),
      "Confirm",
      () => void this.#api.revokeInvite(id).catch((error) => this.#desk.report(error)),
      () => this.#desk.announce(`Press again to revoke the invitation for ${shown}. Its calls end.`),
    );
    element("invites").append(made);
    this.#rows.set(id, made);
    return made;
  }
}
