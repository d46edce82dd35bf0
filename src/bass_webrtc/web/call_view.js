/** The guest page: the state of the call, the microphone before and during it, and its buttons. */

import { askForToken } from "./access.js";
import { Dial } from "./dial.js";
import { bindFader, element, write } from "./dom.js";
import { Meter, audioContext } from "./meter.js";
import { microphoneRefusal } from "./microphone.js";
import { Notice, statusText } from "./notice.js";
import { OutputWatch } from "./output.js";
import { remember } from "./settings.js";
import { canSetVolume } from "./speaker.js";
import { TalkSettingsView } from "./talk_settings.js";
import { WakeLock } from "./wake_lock.js";

/** Loss above this is audible. */
const AUDIBLE_PERCENT = 2;

const READY = { title: "Ready to call", advice: "Test your microphone if you like, then press Join." };
const TESTING = { title: "Ready to call", advice: "Speak, and watch the meter. Then press Join." };
const ASKING = { title: "Waiting for permission", advice: "Allow the microphone in your browser's prompt." };
const LEFT = { title: "You have left the call", advice: "" };
const BLOCKED = { title: "Playback blocked", advice: "Your browser blocked the sound. Press any button to hear it." };
const NO_OUTPUT = "You cannot hear the call: your browser has no sound output. Connect speakers or headphones.";
const MUTED = "Your microphone is muted: nobody hears you.";
const UNSTABLE = "Your network loses audio: move closer to your Wi-Fi, or use a cable.";

const HEADPHONES = "Use headphones if you can: they keep the programme out of your microphone.";
const HEADPHONES_NEEDED = "Use headphones: without echo cancellation, everybody hears an echo from your loudspeakers.";

/** Problems that another attempt cannot solve: the guest needs another link, or another browser. */
const FINAL = ["no-invite", "wrong-invite", "over-invite", "no-calls", "insecure", "unsupported"];

/** @param {number | null} position @returns {string} */
function placeOf(position) {
  if (position === 1) return "You are next.";
  return position == null ? "" : `You are number ${position} in the queue.`;
}

/** @param {import("./guest_call.js").CallState} call @returns {import("./notice.js").Words} */
function wordsOf({ state, position, name }) {
  switch (state) {
    case "on_air":
      return { title: "On air", advice: `Everybody hears you${name && `, ${name}`}.` };
    case "private":
      return { title: "Talking with the producer", advice: "Only the producer hears you." };
    default:
      return {
        title: "Waiting",
        advice: `${placeOf(position)} You hear the programme. You are not on air yet.`.trim(),
      };
  }
}

export class CallView {
  #caller;
  #meter = new Meter();
  #dial = new Dial(element("call-dial"), this.#meter);
  #notice = new Notice("call");
  #output = new OutputWatch();
  #wakeLock = new WakeLock();
  #settings;
  #joining = false;
  #hasCalled = false;

  /** @param {import("./guest_call.js").GuestCall} caller */
  constructor(caller) {
    this.#caller = caller;
    this.#settings = new TalkSettingsView(caller);
    element("lobby").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#join();
    });
    element("test").addEventListener("click", () => this.#toggleTest());
    element("leave").addEventListener("click", () => caller.stop());
    element("mute").addEventListener("click", () => (caller.muted = !caller.muted));
    // The browser may have created the meter's audio context before the first click, and suspended it.
    addEventListener("pointerdown", () => this.#resume());
    addEventListener("keydown", () => this.#resume());
    caller.addEventListener("change", () => this.#show());
    caller.addEventListener("call", () => this.#show());
    caller.addEventListener("stats", () => this.#readStats());
    caller.addEventListener("stream", () => this.#attachStream());
    bindFader("volume", 100, (percent) => {
      caller.speaker.volume = percent / 100;
      return `${percent} %`;
    });
    element("volume-fader").hidden = !canSetVolume();
    const refusal = microphoneRefusal();
    if (refusal === null) void this.#previewIfAllowed();
    else caller.fail(refusal);
    this.#show();
  }

  get meter() {
    return this.#meter;
  }

  get #isOn() {
    return this.#joining || !["idle", "failed"].includes(this.#caller.state);
  }

  async #join() {
    if (this.#isOn) return;
    const name = /** @type {HTMLInputElement} */ (element("name"));
    remember("name", name.value.trim());
    this.#caller.muted = false;
    this.#joining = this.#hasCalled = true;
    this.#output.reset();
    await this.#caller.start();
    this.#joining = false;
    this.#show();
  }

  #toggleTest() {
    if (this.#caller.stream === null) void this.#caller.preview();
    else this.#caller.stop();
  }

  /** Opens the microphone at once if the user has allowed it earlier, so that its meter is live. */
  async #previewIfAllowed() {
    // Not every browser knows this permission.
    const permission = await navigator.permissions
      ?.query(/** @type {any} */ ({ name: "microphone" }))
      .catch(() => null);
    if (permission?.state === "granted" && !this.#isOn) await this.#caller.preview();
  }

  #resume() {
    if (this.#caller.stream !== null) audioContext();
    if (this.#caller.speaker.blocked) void this.#caller.speaker.play();
  }

  #attachStream() {
    const { stream } = this.#caller;
    if (stream === null) {
      this.#meter.detach();
      this.#dial.stop();
    } else {
      void this.#settings.listDevices();
      this.#meter.attach(stream);
      this.#dial.start();
    }
    this.#show();
  }

  #readStats() {
    const { stats, speaker } = this.#caller;
    if (stats?.heard && !speaker.paused) this.#output.read(stats.heard);
    this.#show();
  }

  async #askForToken() {
    if (await askForToken("whip")) await this.#join();
  }

  #show() {
    const { state, problem, muted, call, settings, onAir } = this.#caller;
    this.#showLobby();
    element("lamp-on-air").classList.toggle("lit", call?.state === "on_air");
    element("lamp-microphone").classList.toggle("lit", onAir);
    element("mute").setAttribute("aria-pressed", String(muted));
    write("headphones", settings.echoCancellation ? HEADPHONES : HEADPHONES_NEEDED);
    this.#notice.show(this.#words());
    this.#notice.showCountdown(this.#caller);
    this.#notice.setState(this.#lamp());
    this.#wakeLock.set(state !== "idle" && state !== "failed");
    if (problem?.kind === "unauthorized" && state === "failed") void this.#askForToken();
  }

  #showLobby() {
    const { state, problem, stream, opening } = this.#caller;
    const isOn = this.#isOn;
    const join = /** @type {HTMLButtonElement} */ (element("join"));
    const hadFocus = element(isOn ? "lobby" : "controls").contains(document.activeElement);
    element("lobby").hidden = isOn;
    element("controls").hidden = !isOn;
    join.disabled = state === "failed" && FINAL.includes(problem?.kind ?? "");
    write("join-label", this.#hasCalled ? "Call again" : "Join");
    write("test", stream === null || opening ? "Test microphone" : "Stop the test");
    if (hadFocus) element(isOn ? "mute" : "join").focus();
  }

  /** @returns {import("./notice.js").Words} */
  #words() {
    const { state, call, stream, opening, speaker } = this.#caller;
    if (opening) return ASKING;
    if (speaker.blocked) return BLOCKED;
    const idle = this.#hasCalled ? LEFT : stream === null ? READY : TESTING;
    const words = statusText(this.#caller, idle, call ? wordsOf(call) : { title: "Connecting…", advice: "" });
    if (state !== "live" || !call) return words;
    return { title: words.title, advice: this.#warning() ?? words.advice };
  }

  /** What is wrong with a call that is connected; null if nothing is. */
  #warning() {
    const { muted, stats } = this.#caller;
    if (this.#output.isStuck) return NO_OUTPUT;
    if (muted) return MUTED;
    const lossPercent = Math.max(stats?.heard?.lossPercent ?? 0, stats?.sent?.lossPercent ?? 0);
    return lossPercent > AUDIBLE_PERCENT ? UNSTABLE : null;
  }

  /** State that the style sheet shows. */
  #lamp() {
    const { state, call, speaker } = this.#caller;
    if (speaker.blocked) return "blocked";
    if (state !== "live") return state;
    return { on_air: "on-air", private: "private" }[String(call?.state)] ?? (call ? "queue" : "connecting");
  }
}
