/** The channel selector, shown when there is a choice; and the tab's title, which names the chosen channel. */

import { element } from "./dom.js";

export class ChannelView {
  #channels;
  #station;

  /** @param {import("./channels.js").Channels} channels @param {string} station */
  constructor(channels, station) {
    this.#channels = channels;
    this.#station = station;
    const select = this.#select;
    select.addEventListener("change", () => channels.choose(select.value));
    // Nobody needs a current list until then.
    select.addEventListener("focus", () => void channels.load());
    channels.addEventListener("list", () => this.#show());
    channels.addEventListener("choice", () => this.#show());
    this.#show();
  }

  get #select() {
    return /** @type {HTMLSelectElement} */ (element("channel"));
  }

  #show() {
    const { list, chosen, current, label } = this.#channels;
    const options = list.map(({ name, sourceEnded }) => new Option(sourceEnded ? `${name} (ended)` : name, name));
    if (list.length > 0 && current === undefined) {
      const prompt = new Option("Choose a channel", chosen);
      prompt.disabled = true;
      options.unshift(prompt);
    }
    this.#select.replaceChildren(...options);
    this.#select.value = chosen;
    element("channel-field").hidden = options.length < 2;
    document.title = label === "" ? this.#station : `${label} – ${this.#station}`;
  }
}
