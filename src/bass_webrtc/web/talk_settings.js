/** The form for the microphone: device, presets, switches, bitrate. A page may omit parts. Remembers the settings. */

import { bindFader, element } from "./dom.js";
import { PRESETS, microphones } from "./microphone.js";
import { recall, remember } from "./settings.js";

/** @typedef {import("./microphone.js").TalkSettings} TalkSettings */

const SWITCHES = /** @type {const} */ ([
  "echoCancellation",
  "noiseSuppression",
  "autoGainControl",
  "stereo",
  "dim",
  "pushToTalk",
]);

/** @returns {TalkSettings} The saved settings, by default those for voice. */
export function recallTalkSettings() {
  const settings = { deviceId: "", pushToTalk: false, ...PRESETS.voice };
  try {
    Object.assign(settings, JSON.parse(recall("talk") ?? "{}"));
  } catch {
    // The stored value is not ours; use the defaults.
  }
  return /** @type {TalkSettings} */ (settings);
}

/** @param {string} id */
const input = (id) => /** @type {HTMLInputElement} */ (element(id));

export class TalkSettingsView {
  #publisher;
  #switches = SWITCHES.filter((name) => element(name) !== null);

  /** @param {import("./publisher.js").Publisher<any>} publisher */
  constructor(publisher) {
    this.#publisher = publisher;
    for (const name of this.#switches) {
      input(name).addEventListener("change", () => this.#change({ [name]: input(name).checked }));
    }
    for (const radio of this.#presets()) {
      radio.addEventListener("change", () => this.#change(PRESETS[/** @type {"voice" | "music"} */ (radio.value)]));
    }
    const select = this.#select;
    select.addEventListener("change", () => this.#change({ deviceId: select.value }));
    if (input("bitrate") !== null) this.#bindBitrate();
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.listDevices());
    void this.listDevices();
    this.#show();
  }

  #bindBitrate() {
    bindFader("bitrate", this.#publisher.settings.bitrateKbps, (kbps) => `${kbps} kbit/s`);
    input("bitrate").addEventListener("change", () => this.#change({ bitrateKbps: input("bitrate").valueAsNumber }));
  }

  /** Lists the microphones. Their names are known only after the first permission. */
  async listDevices() {
    const defaultOption = new Option("Default microphone", "");
    const found = (await microphones()).map(({ label, deviceId }) => new Option(label || "Microphone", deviceId));
    this.#select.replaceChildren(defaultOption, ...found);
    const { deviceId } = this.#publisher.settings;
    this.#select.value = found.some(({ value }) => value === deviceId) ? deviceId : "";
  }

  get #select() {
    return /** @type {HTMLSelectElement} */ (element("microphone"));
  }

  #presets() {
    return /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[name=preset]"));
  }

  /** @param {Partial<TalkSettings>} changes */
  #change(changes) {
    void this.#publisher.configure(changes);
    remember("talk", JSON.stringify(this.#publisher.settings));
    this.#show();
  }

  #show() {
    const { settings } = this.#publisher;
    for (const name of this.#switches) input(name).checked = settings[name];
    if (this.#switches.includes("stereo")) {
      input("stereo").disabled = settings.echoCancellation;
      element("stereo-hint").hidden = !settings.echoCancellation;
    }
    for (const radio of this.#presets()) {
      const preset = Object.entries(PRESETS[/** @type {"voice" | "music"} */ (radio.value)]);
      radio.checked = preset.every(([name, value]) => settings[/** @type {keyof TalkSettings} */ (name)] === value);
    }
    const fader = input("bitrate");
    if (fader === null) return;
    fader.valueAsNumber = settings.bitrateKbps;
    fader.dispatchEvent(new Event("input"));
  }
}
