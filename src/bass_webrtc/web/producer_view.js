/** The producer's microphone on the desk: talkback, and what private callers say. */

import { Dial } from "./dial.js";
import { bindFader, element, figure, write } from "./dom.js";
import { Meter } from "./meter.js";
import { microphoneRefusal } from "./microphone.js";
import { Notice, statusText } from "./notice.js";
import { canSetVolume } from "./speaker.js";
import { TalkSettingsView } from "./talk_settings.js";

const OFF = { title: "Microphone off", advice: "Press Talk to speak with private callers and those with talkback." };
const ASKING = { title: "Waiting for permission", advice: "Allow the microphone in your browser's prompt." };
const MUTED = { title: "Muted", advice: "No caller hears you." };
const NOBODY = { title: "Nobody hears you yet", advice: "Make a caller private, or switch on talkback." };
const BLOCKED = { title: "Playback blocked", advice: "Your browser blocked the sound. Press Talk again." };

/** @param {string[]} names */
const listOf = (names) => new Intl.ListFormat("en").format(names);

export class ProducerView {
  #caller;
  #meter = new Meter();
  #dial = new Dial(element("producer-dial"), this.#meter);
  #notice = new Notice("producer");
  #settings;
  /** @type {string[]} Names of callers who hear the producer. */
  #audience = [];

  /** @param {import("./producer.js").Producer} caller */
  constructor(caller) {
    this.#caller = caller;
    this.#settings = new TalkSettingsView(caller);
    element("talk").addEventListener("click", () => this.#toggle());
    element("mute").addEventListener("click", () => (caller.muted = !caller.muted));
    caller.addEventListener("change", () => this.#show());
    caller.addEventListener("stats", () => this.#show());
    caller.addEventListener("stream", () => this.#attachStream());
    bindFader("producer-volume", 100, (percent) => {
      caller.speaker.volume = percent / 100;
      return `${percent} %`;
    });
    element("volume-fader").hidden = !canSetVolume();
    const refusal = microphoneRefusal();
    if (refusal !== null) caller.fail(refusal);
    this.#show();
  }

  get meter() {
    return this.#meter;
  }

  /** @param {string[]} names Callers who hear the producer. */
  setAudience(names) {
    this.#audience = names;
    this.#show();
  }

  get #isOn() {
    const { state, opening } = this.#caller;
    return opening || !["idle", "failed"].includes(state);
  }

  #toggle() {
    const { speaker } = this.#caller;
    if (this.#isOn && !speaker.blocked) this.#caller.stop();
    else void this.#caller.start();
  }

  #attachStream() {
    const { stream } = this.#caller;
    if (stream === null) return this.#meter.detach();
    void this.#settings.listDevices();
    return this.#meter.attach(stream);
  }

  #show() {
    const { state, muted, opening, onAir, speaker, stats } = this.#caller;
    element("talk").classList.toggle("on", this.#isOn);
    write("talk-label", this.#isOn ? "Stop" : "Talk");
    element("lamp-microphone").classList.toggle("lit", onAir);
    const mute = /** @type {HTMLButtonElement} */ (element("mute"));
    mute.disabled = !this.#isOn;
    mute.setAttribute("aria-pressed", String(muted));
    if (this.#isOn) this.#dial.start();
    else this.#dial.stop();
    const words = opening ? ASKING : statusText(this.#caller, OFF, this.#liveText());
    this.#notice.show(speaker.blocked ? BLOCKED : words);
    this.#notice.setState(speaker.blocked ? "blocked" : state);
    this.#notice.showCountdown(this.#caller);
    write("producer-loss", figure(stats?.sent?.lossPercent, 1, "%"));
    write("producer-round-trip", figure(stats?.sent?.roundTripMs, 0, "ms"));
    write("producer-buffer", figure(stats?.heard?.jitterBufferMs, 0, "ms"));
  }

  #liveText() {
    if (this.#caller.muted) return MUTED;
    if (this.#audience.length === 0) return NOBODY;
    const verb = this.#audience.length === 1 ? "hears" : "hear";
    return { title: "Talking", advice: `${listOf(this.#audience)} ${verb} you.` };
  }
}
