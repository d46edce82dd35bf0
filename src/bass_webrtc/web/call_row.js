/** One caller on the desk: name, state, level, fader and buttons. */

import { ConfirmButton } from "./confirm_button.js";
import { dbOf, gainOf, textOf } from "./gain.js";
import { LevelBar } from "./level_bar.js";
import { figuresOf, healthOf } from "./network_health.js";
import { Pending } from "./pending.js";

/** @typedef {import("./desk_api.js").Call} Call */

/** @type {Record<string, string>} */
const STATE_WORDS = { waiting: "Waiting", on_air: "On air", private: "Private", ended: "Ended" };
/** How long a fader that is moved with keys is kept from incoming state, in ms. */
const KEY_HOLD_MS = 600;

/** @param {number} seconds */
function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** @param {Call} call */
export const stateOf = ({ state }) => STATE_WORDS[state] ?? state;

/** The name to show. @param {Call} call */
export const nameOf = ({ id, name }) => name || `Caller ${id}`;

/** @param {string} name */
function figureElement(name) {
  const [group, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  term.textContent = name;
  group.append(term, value);
  return group;
}

/**
 * @typedef {object} RowActions
 * @property {(changes: Partial<Call>) => Promise<unknown>} change
 * @property {() => void} hangUp
 * @property {(text: string) => void} announce For assistive technology.
 * @property {(error: unknown) => void} report
 */

export class CallRow {
  #actions;
  #pending;
  #level;
  /** @type {Call} */
  #call;
  /** @type {Record<"gain" | "return_gain", HTMLInputElement>} */
  #faders;
  /** @type {HTMLElement} */
  element;

  /** @param {HTMLTemplateElement} template @param {Call} call @param {RowActions} actions */
  constructor(template, call, actions) {
    const fragment = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    this.element = /** @type {HTMLElement} */ (fragment.firstElementChild);
    this.#actions = actions;
    this.#call = call;
    const show = () => this.#show();
    this.#pending = new Pending(
      actions.change,
      (error) => {
        actions.report(error);
        show();
      },
      show,
    );
    this.#level = new LevelBar(this.#part(".bar"));
    this.#faders = {
      gain: this.#bindFader("gain"),
      return_gain: this.#bindFader("return_gain"),
    };
    this.#bindButtons();
    this.#bindRename();
    this.update(call);
  }

  /** The call with the changes that the server has not confirmed. */
  get call() {
    return this.#pending.merge(this.#call);
  }

  /** @param {Call} call */
  update(call) {
    this.#call = call;
    this.#pending.confirm(call);
    this.#level.show(call.level_dbfs);
    this.#show();
  }

  /** @param {number | null} db */
  showLevel(db) {
    this.#level.show(db);
  }

  /** Position in the list, from 1; the first nine can be selected with a digit. @param {number} number */
  setNumber(number) {
    this.#write(".number", String(number));
  }

  /** @param {boolean} canRecord Whether the server can record. */
  allowRecording(canRecord) {
    this.#part("[data-toggle=recording]").hidden = !canRecord;
  }

  /**
   * Presses a button.
   * @param {string} name A state, a field that is switched on and off, `hang-up` or `rename`.
   */
  press(name) {
    const button = this.#part(`[data-state="${name}"], [data-toggle="${name}"], [data-action="${name}"]`);
    button.focus(); // Also, it loses the focus to cancel a question.
    button.click();
  }

  /** Sets the fader to 0 dB. */
  resetGain() {
    this.#change({ gain: 1 });
  }

  /** @param {string} selector */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.element.querySelector(selector));
  }

  /** @param {string} selector @param {string} text */
  #write(selector, text) {
    const part = this.#part(selector);
    if (part.textContent !== text) part.textContent = text;
  }

  /** @param {Partial<Call>} changes */
  #change(changes) {
    this.#pending.change(changes);
    this.#show();
  }

  /** @param {"gain" | "return_gain"} name */
  #bindFader(name) {
    const input = /** @type {HTMLInputElement} */ (this.#part(`[data-fader=${name}]`));
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const release = () => {
      clearTimeout(timer);
      this.#pending.release(name);
      this.#show();
    };
    input.addEventListener("pointerdown", () => this.#pending.hold(name));
    for (const end of ["pointerup", "pointercancel", "blur"]) input.addEventListener(end, release);
    input.addEventListener("keydown", () => {
      this.#pending.hold(name);
      clearTimeout(timer);
      timer = setTimeout(release, KEY_HOLD_MS);
    });
    input.addEventListener("input", () => this.#change({ [name]: gainOf(input.valueAsNumber) }));
    input.addEventListener("dblclick", () => {
      release();
      this.#change({ [name]: 1 });
    });
    return input;
  }

  #bindButtons() {
    const each = (/** @type {string} */ selector, /** @type {(button: HTMLElement) => void} */ pressed) =>
      this.element
        .querySelectorAll(selector)
        .forEach((button) => button.addEventListener("click", () => pressed(/** @type {HTMLElement} */ (button))));
    each("button[data-state]", ({ dataset }) => this.#change({ state: /** @type {any} */ (dataset.state) }));
    each("button[data-toggle]", ({ dataset }) => {
      const name = /** @type {"muted" | "talkback" | "recording"} */ (dataset.toggle);
      this.#change({ [name]: !this.call[name] });
    });
    new ConfirmButton(
      this.#part("[data-action=hang-up]"),
      "Confirm",
      () => this.#actions.hangUp(),
      () => this.#actions.announce(`Press again to hang up ${nameOf(this.call)}.`),
    );
  }

  #bindRename() {
    const [form, button] = [this.#part(".rename"), this.#part("[data-action=rename]")];
    const input = /** @type {HTMLInputElement} */ (form.querySelector("input"));
    const open = (/** @type {boolean} */ isOpen) => {
      form.hidden = !isOpen;
      this.#part(".caller-name").hidden = button.hidden = isOpen;
      if (isOpen) {
        input.value = this.call.name;
        input.select();
        input.focus();
      } else if (document.activeElement === input || document.activeElement === document.body) button.focus();
    };
    button.addEventListener("click", () => open(true));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = input.value.trim();
      if (name !== this.call.name) this.#change({ name });
      open(false);
    });
    input.addEventListener("keydown", (event) => event.key === "Escape" && open(false));
  }

  #show() {
    const { call } = this;
    const name = nameOf(call);
    this.element.dataset.state = call.state;
    this.#write(".caller-name", name);
    this.#write(".lamp", stateOf(call));
    this.#write(".duration", duration(call.seconds));
    this.#part(".strip").setAttribute("aria-label", name);
    this.#part(".bar").setAttribute("aria-label", `Level of ${name}`);
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (this.element.querySelectorAll("button[data-state]")))
      button.setAttribute("aria-pressed", String(button.dataset.state === call.state));
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (this.element.querySelectorAll("button[data-toggle]")))
      button.setAttribute("aria-pressed", String(call[/** @type {"muted"} */ (button.dataset.toggle)] === true));
    this.#showFader("gain", call.gain, `Fader of ${name}`);
    this.#showFader("return_gain", call.return_gain, `What ${name} hears`);
    this.#showNetwork(call.network);
  }

  /** @param {"gain" | "return_gain"} name @param {number} gain @param {string} label */
  #showFader(name, gain, label) {
    const input = this.#faders[name];
    const db = dbOf(gain);
    // A value that was rounded to the steps of the input is not written back while the fader is being moved.
    if (!this.#pending.isHeld(name)) input.valueAsNumber = db;
    const text = textOf(this.#pending.isHeld(name) ? input.valueAsNumber : db);
    input.setAttribute("aria-label", label);
    input.setAttribute("aria-valuetext", text);
    const [lowest, highest] = [Number(input.min), Number(input.max)];
    input.style.setProperty("--at", String((input.valueAsNumber - lowest) / (highest - lowest)));
    const output = /** @type {HTMLElement} */ (input.closest(".fader")?.querySelector("output"));
    if (output.textContent !== text) output.textContent = text;
  }

  /** @param {import("./desk_api.js").Network} network */
  #showNetwork(network) {
    const { grade, words } = healthOf(network);
    this.#part(".health").dataset.grade = grade;
    this.#write(".health-words", words);
    const list = this.#part(".network");
    figuresOf(network).forEach(([name, value], index) => {
      const shown = list.children[index] ?? list.appendChild(figureElement(name));
      const figure = /** @type {Element} */ (shown.lastElementChild);
      if (figure.textContent !== value) figure.textContent = value;
    });
  }
}
