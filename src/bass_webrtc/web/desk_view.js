/** The desk: programme, listeners, callers, and what changes there. */

import { CallRow, nameOf, stateOf } from "./call_row.js";
import { drawScale } from "./dial.js";
import { element, write } from "./dom.js";
import { LevelBar } from "./level_bar.js";
import { ListenersPlot, listenersText } from "./listeners_plot.js";
import { Pending } from "./pending.js";
import { Problem, sentence } from "./problem.js";

/** How long a problem is shown, in ms. */
const PROBLEM_MS = 8_000;

/** @typedef {import("./desk_api.js").Call} Call */

export class DeskView {
  #api;
  #station;
  /** @type {Map<number, CallRow>} In the order of their calls. */
  #rows = new Map();
  /** @type {Map<number, Call>} As the server has reported them. */
  #calls = new Map();
  #isFirst = true;
  #selectedId = 0;
  #programme = new LevelBar(element("programme"));
  #plot = new ListenersPlot(element("listeners-plot"));
  /** @type {{ recording: boolean, can_record: boolean }} */
  #desk = { recording: false, can_record: false };
  #pending;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #problemTimer;

  /** @param {import("./desk_api.js").DeskApi} api @param {string} station */
  constructor(api, station) {
    this.#api = api;
    this.#station = station;
    drawScale(element("programme-scale"));
    this.#pending = new Pending(
      (changes) => api.changeDesk(/** @type {any} */ (changes)),
      (error) => {
        this.report(error);
        this.#showRecording();
      },
      () => this.#showRecording(),
    );
    element("record-programme").addEventListener("click", () => {
      this.#pending.change({ recording: !this.#pending.merge(this.#desk).recording });
      this.#showRecording();
    });
    element("problem-close").addEventListener("click", () => (element("problem").hidden = true));
    element("calls").addEventListener("focusin", ({ target }) => this.#selectRowOf(/** @type {Node} */ (target)));
  }

  /** @returns {CallRow[]} */
  get rows() {
    return [...this.#rows.values()];
  }

  /** The row that shortcuts apply to. @returns {CallRow | undefined} */
  get selected() {
    return this.#rows.get(this.#selectedId);
  }

  /** @param {{ calls: Call[], desk: import("./desk_api.js").Desk }} state */
  show({ calls, desk }) {
    this.#desk = desk;
    this.#pending.confirm(desk);
    this.#announceChanges(calls);
    this.#showRows(calls);
    this.#showDesk(calls, desk);
    this.#isFirst = false;
  }

  /** @param {{ programme: number | null, calls: Record<string, number | null> }} levels */
  showLevels({ programme, calls }) {
    this.#programme.show(programme);
    this.#rows.forEach((row, id) => String(id) in calls && row.showLevel(calls[id]));
  }

  /** Shows that nothing is known at the moment. */
  showNothing() {
    this.#programme.show(null);
    this.#rows.forEach((row) => row.showLevel(null));
    element("console-dial").dataset.state = "idle";
  }

  /** Moves the focus to a row. @param {number} index From 0. */
  focusRow(index) {
    /** @type {HTMLElement | null | undefined} */ (this.rows[index]?.element.querySelector(".strip"))?.focus();
  }

  /** Says something to assistive technology. @param {string} text */
  announce(text) {
    element("announcements").textContent = text;
  }

  /** Shows why something did not work. @param {unknown} error */
  report(error) {
    // The server's own words are more exact than the title of the problem's kind.
    const text = error instanceof Problem ? sentence(error.detail || error.words.title) : "That did not work.";
    write("problem-text", text);
    element("problem").hidden = false;
    clearTimeout(this.#problemTimer);
    this.#problemTimer = setTimeout(() => (element("problem").hidden = true), PROBLEM_MS);
  }

  /** @param {Call[]} calls */
  #announceChanges(calls) {
    const before = this.#calls;
    this.#calls = new Map(calls.map((call) => [call.id, call]));
    if (this.#isFirst) return;
    const changes = calls.flatMap((call) => {
      const known = before.get(call.id);
      if (known === undefined) return `${nameOf(call)} is calling: ${stateOf(call).toLowerCase()}.`;
      return known.state === call.state ? [] : `${nameOf(call)}: ${stateOf(call).toLowerCase()}.`;
    });
    before.forEach((call, id) => this.#calls.has(id) || changes.push(`${nameOf(call)} has left.`));
    if (changes.length > 0) this.announce(changes.join(" "));
  }

  /** @param {Call[]} calls */
  #showRows(calls) {
    const list = element("calls");
    const focusedIndex = this.rows.findIndex(({ element: row }) => row.contains(document.activeElement));
    for (const [id, row] of this.#rows) {
      if (this.#calls.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    for (const call of calls) {
      const known = this.#rows.get(call.id);
      if (known) known.update(call);
      else this.#addRow(call, list);
    }
    this.rows.forEach((row, index) => {
      row.setNumber(index + 1);
      row.allowRecording(this.#desk.can_record);
    });
    const isFocusLost = focusedIndex >= 0 && document.activeElement === document.body;
    if (isFocusLost && this.#rows.size === 0) element("callers-title").focus();
    else if (isFocusLost) this.focusRow(Math.min(focusedIndex, this.#rows.size - 1));
  }

  /** @param {Call} call @param {HTMLElement} list */
  #addRow(call, list) {
    const template = /** @type {HTMLTemplateElement} */ (element("call-row"));
    const row = new CallRow(template, call, {
      change: (changes) => this.#api.changeCall(call.id, changes),
      hangUp: () => void this.#api.hangUp(call.id).catch((error) => this.report(error)),
      announce: (text) => this.announce(text),
      report: (error) => this.report(error),
    });
    this.#rows.set(call.id, row);
    list.append(row.element);
  }

  /** @param {Node} target */
  #selectRowOf(target) {
    for (const [id, { element: row }] of this.#rows) {
      const isSelected = row.contains(target);
      row.classList.toggle("selected", isSelected);
      if (isSelected) this.#selectedId = id;
    }
  }

  /** @param {Call[]} calls @param {import("./desk_api.js").Desk} desk */
  #showDesk(calls, desk) {
    const waiting = calls.filter(({ state }) => state === "waiting").length;
    const onAir = calls.filter(({ state }) => state === "on_air").length;
    write("count-on-air", String(onAir));
    write("count-waiting", String(waiting));
    write("count-listeners", String(desk.listeners));
    write("count-peak", String(desk.peak_listeners));
    element("console-dial").dataset.state = "live";
    element("empty").hidden = calls.length > 0;
    element("empty-open").hidden = desk.invite_required;
    write("initial-state", desk.initial_state === "on_air" ? "are on air at once" : "wait until you put them on air");
    this.#plot.show(desk.history, desk.listeners, desk.peak_listeners);
    write("plot-text", `${listenersText(desk.listeners)} now, at most ${desk.peak_listeners} in the last 24 hours.`);
    this.#showRecording();
    document.title = `${waiting > 0 ? `(${waiting}) ` : ""}Desk – ${this.#station}`;
  }

  #showRecording() {
    const { recording, can_record: canRecord } = this.#pending.merge(this.#desk);
    element("record-programme").hidden = !canRecord;
    element("record-programme").setAttribute("aria-pressed", String(recording));
  }
}
