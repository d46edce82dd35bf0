/** The channels of the server, and which one is chosen: with `?channel=NAME` in the page's URL, or in the selector. */

import { Problem } from "./problem.js";

/** The channel that every server has, at the plain WHEP address. */
const MAIN = "main";
/** What a name looks like; anything else must not become part of an address. */
const NAME = /^[\w-][\w.-]{0,63}$/;

/** @typedef {{ name: string, sourceEnded: boolean }} Channel */

/** Fires `list` when the list has changed, and `choice` when another channel was chosen. */
export class Channels extends EventTarget {
  #address;
  #token;

  /** @param {string | URL} address `/api/channels`. @param {() => string | null} token */
  constructor(address, token) {
    super();
    this.#address = address;
    this.#token = token;
    /** @type {Channel[]} Empty until the server has answered. */
    this.list = [];
    this.chosen = new URLSearchParams(location.search).get("channel") || MAIN;
  }

  /** The chosen one; undefined until it is listed. */
  get current() {
    return this.list.find(({ name }) => name === this.chosen);
  }

  /** Name of the chosen one if there are others; otherwise empty. */
  get label() {
    return this.list.length > 1 ? (this.current?.name ?? "") : "";
  }

  /** Why the chosen one cannot be played; null if it exists, or the server has not answered yet. */
  get problem() {
    if (NAME.test(this.chosen) && (this.list.length === 0 || this.current !== undefined)) return null;
    const detail = `this server has no channel “${this.chosen.slice(0, 64)}”; choose another one`;
    return new Problem("no-channel", { detail });
  }

  /** WHEP address of the chosen one, relative to the page. Throws a `Problem` if there is none. */
  get endpoint() {
    if (this.problem !== null) throw this.problem;
    return this.chosen === MAIN ? "whep" : `whep/${this.chosen}`;
  }

  /** Asks the server for its channels. Without an answer the list stays as it is. */
  async load() {
    const token = this.#token();
    const headers = token === null ? undefined : { Authorization: `Bearer ${token}` };
    const answer = await fetch(this.#address, { cache: "no-store", headers })
      .then((response) => response.json())
      .catch(() => null);
    if (!Array.isArray(answer?.channels)) return;
    const list = answer.channels.map((/** @type {any} */ channel) => ({
      name: String(channel?.name),
      sourceEnded: channel?.source_ended === true,
    }));
    if (JSON.stringify(list) === JSON.stringify(this.list)) return;
    this.list = list;
    this.dispatchEvent(new Event("list"));
  }

  /** Chooses another one. The page's URL becomes the link to it. @param {string} name */
  choose(name) {
    if (name === this.chosen) return;
    this.chosen = name;
    const link = new URL(location.href);
    if (name === MAIN) link.searchParams.delete("channel");
    else link.searchParams.set("channel", name);
    history.replaceState(null, "", link);
    this.dispatchEvent(new Event("choice"));
  }
}
