/** Parser of a stream of server-sent events (HTML, 9.2.6). Pure: no network, no timers. */

/** @typedef {{ event: string, data: string }} ServerEvent */

/** Longest event in characters; a longer one ends the stream with an error. */
const MAX_CHARACTERS = 4 * 1024 * 1024;

export class EventParser {
  #rest = "";
  #event = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} text The next part of the stream, cut anywhere.
   * @returns {ServerEvent[]} The events that are complete with it.
   */
  feed(text) {
    // A carriage return at the end may be the first half of a line end: keep it for the next part.
    const whole = this.#rest + text;
    const isHalf = whole.endsWith("\r");
    const lines = (isHalf ? whole.slice(0, -1) : whole).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + (isHalf ? "\r" : "");
    if (this.#rest.length > MAX_CHARACTERS) throw new RangeError("an event is too long");
    return lines.flatMap((line) => this.#take(line) ?? []);
  }

  /** @param {string} line @returns {ServerEvent | null} The event that an empty line completes. */
  #take(line) {
    if (line === "") return this.#complete();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#event = value;
    if (name === "data") this.#data.push(value);
    return null; // A comment begins with a colon, so its name is empty.
  }

  #complete() {
    const complete = this.#data.length > 0 ? { event: this.#event || "message", data: this.#data.join("\n") } : null;
    this.#event = "";
    this.#data = [];
    return complete;
  }
}
