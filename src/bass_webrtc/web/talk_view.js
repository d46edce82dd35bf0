/** The Talk side of the page: buttons, push-to-talk, status text, meter and figures of the publisher. */

import { askForToken } from "./access.js";
import { Dial } from "./dial.js";
import { element, figure, write } from "./dom.js";
import { Meter } from "./meter.js";
import { microphoneRefusal } from "./microphone.js";
import { Notice, statusText } from "./notice.js";
import { bindPushToTalk } from "./push_to_talk.js";
import { TalkSettingsView } from "./talk_settings.js";

const TALK_KEY = "t";

const OFF = { title: "Microphone off", advice: "Press Talk to go on air." };
const ASKING = { title: "Waiting for permission", advice: "Allow the microphone in your browser's prompt." };
const MUTED = { title: "Muted", advice: "Nobody can hear you." };
const HOLD = {
  title: "Push to talk",
  advice: `Hold the button or the ${TALK_KEY.toUpperCase()} key while you talk.`,
};
const HEADPHONES = "Use headphones: without echo cancellation, loudspeakers cause feedback.";

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
    element("talk").addEventListener("click", () => this.#toggle());
    element("mute").addEventListener("click", () => this.#toggleMute());
    bindPushToTalk(
      element("mute"),
      TALK_KEY,
      () => this.#pushToTalkActive,
      (held) => (publisher.muted = !held),
    );
    publisher.addEventListener("change", () => this.#showState());
    publisher.addEventListener("stats", () => this.#showFigures());
    publisher.addEventListener("stream", () => this.#attachStream());
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

  /** Whether push-to-talk is active. */
  get #pushToTalkActive() {
    return this.#publisher.settings.pushToTalk && this.#isOn;
  }

  get #isOn() {
    const { state, opening } = this.#publisher;
    return opening || (state !== "idle" && state !== "failed");
  }

  #toggle() {
    if (this.#isOn) {
      this.#publisher.stop();
    } else {
      this.#publisher.muted = this.#publisher.settings.pushToTalk;
      void this.#publisher.start();
    }
  }

  #toggleMute() {
    if (!this.#pushToTalkActive) this.#publisher.muted = !this.#publisher.muted;
  }

  #attachStream() {
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
    this.#notice.setState(state);
    this.#notice.showCountdown(this.#publisher);
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
    this.#notice.show(opening ? ASKING : statusText(this.#publisher, OFF, this.#liveText()));
    write("talk-figure-loss", figure(stats?.lossPercent, 1, "%"));
    write("talk-figure-round-trip", figure(stats?.roundTripMs, 0, "ms"));
    write("talk-figure-bitrate", figure(stats?.bitrateKbps, 0, "kbit/s"));
  }

  #liveText() {
    const { muted, settings } = this.#publisher;
    if (muted) return settings.pushToTalk ? HOLD : MUTED;
    const feedback = !settings.echoCancellation && this.#player.state === "live";
    return { title: "You are on air", advice: feedback ? HEADPHONES : "" };
  }
}
