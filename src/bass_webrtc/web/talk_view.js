/** Joins the publisher to the page: the Talk key, mute and push-to-talk, the words, the meter and the figures. */

import { askForToken } from "./access.js";
import { Dial } from "./dial.js";
import { element, figure, write } from "./dom.js";
import { Meter } from "./meter.js";
import { microphoneRefusal } from "./microphone.js";
import { Notice, wordsFor } from "./notice.js";
import { bindPushToTalk } from "./push_to_talk.js";
import { TalkSettingsView } from "./talk_settings.js";

const TALK_KEY = "t";

const OFF = { title: "Microphone off.", advice: "Press Talk to be heard." };
const ASKING = { title: "May this page listen?", advice: "Your browser asks whether to open the microphone." };
const MUTED = { title: "Muted.", advice: "Nobody hears you." };
const HOLD = {
  title: "Waiting for you.",
  advice: `Hold the button or the ${TALK_KEY.toUpperCase()} key while you talk.`,
};
const HEADPHONES = "Wear headphones: without echo cancellation, loudspeakers howl.";

export class TalkView {
  #publisher;
  #player;
  #meter = new Meter();
  #dial = new Dial(element("talk-dial"), this.#meter);
  #notice = new Notice("talk");
  #settings;

  /** @param {import("./publisher.js").Publisher} publisher @param {import("./player.js").Player} player */
  constructor(publisher, player) {
    this.#publisher = publisher;
    this.#player = player;
    this.#settings = new TalkSettingsView(publisher);
    element("talk").addEventListener("click", () => this.#press());
    element("mute").addEventListener("click", () => this.#toggleMute());
    bindPushToTalk(
      element("mute"),
      TALK_KEY,
      () => this.#holds,
      (held) => (publisher.muted = !held),
    );
    publisher.addEventListener("change", () => this.#showState());
    publisher.addEventListener("stats", () => this.#showFigures());
    publisher.addEventListener("stream", () => this.#takeStream());
    player.addEventListener("change", () => this.#showFigures());
    element("talk").hidden = false;
    element("talk-panel").hidden = false;
    const refusal = microphoneRefusal();
    if (refusal === null) this.#showState();
    else publisher.fail(refusal);
  }

  get meter() {
    return this.#meter;
  }

  /** Whether the microphone is open only while something is held. */
  get #holds() {
    return this.#publisher.settings.pushToTalk && this.#isOn;
  }

  get #isOn() {
    const { state, opening } = this.#publisher;
    return opening || (state !== "idle" && state !== "failed");
  }

  #press() {
    if (this.#isOn) {
      this.#publisher.stop();
    } else {
      this.#publisher.muted = this.#publisher.settings.pushToTalk;
      void this.#publisher.start();
    }
  }

  #toggleMute() {
    if (!this.#holds) this.#publisher.muted = !this.#publisher.muted;
  }

  #takeStream() {
    const { stream } = this.#publisher;
    if (stream === null) return this.#meter.detach();
    void this.#settings.listDevices();
    return this.#meter.attach(stream);
  }

  async #askForToken() {
    if (await askForToken("whip")) void this.#publisher.start();
  }

  #showState() {
    const { state, problem, muted, onAir, settings } = this.#publisher;
    element("talk").classList.toggle("on", this.#isOn);
    write("talk-label", this.#isOn ? "Hang up" : "Talk");
    element("lamp-microphone").classList.toggle("lit", onAir);
    this.#showMute(muted);
    if (this.#isOn) this.#dial.start();
    else this.#dial.stop();
    this.#player.dimmed = onAir && settings.dim;
    this.#notice.light(state);
    this.#notice.count(this.#publisher);
    this.#showFigures();
    if (problem?.kind === "unauthorized" && state === "failed") void this.#askForToken();
  }

  /** @param {boolean} muted */
  #showMute(muted) {
    const button = /** @type {HTMLButtonElement} */ (element("mute"));
    const { pushToTalk } = this.#publisher.settings;
    button.disabled = !this.#isOn;
    button.setAttribute("aria-pressed", String(pushToTalk ? !muted : muted));
    write("mute", pushToTalk ? `Hold to talk (${TALK_KEY.toUpperCase()})` : "Mute");
  }

  #showFigures() {
    const { stats, opening } = this.#publisher;
    this.#notice.say(opening ? ASKING : wordsFor(this.#publisher, OFF, this.#liveWords()));
    write("talk-figure-loss", figure(stats?.lossPercent, 1, "%"));
    write("talk-figure-round-trip", figure(stats?.roundTripMs, 0, "ms"));
    write("talk-figure-bitrate", figure(stats?.bitrateKbps, 0, "kbit/s"));
  }

  #liveWords() {
    const { muted, settings } = this.#publisher;
    if (muted) return settings.pushToTalk ? HOLD : MUTED;
    const howls = !settings.echoCancellation && this.#player.state === "live";
    return { title: "You are on air.", advice: howls ? HEADPHONES : "" };
  }
}
