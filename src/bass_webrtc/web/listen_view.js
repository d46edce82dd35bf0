/** The Listen side of the page: button, faders, status text and figures of the player. */

import { askForToken } from "./access.js";
import { Dial } from "./dial.js";
import { bindFader, element, figure, write } from "./dom.js";
import { Meter } from "./meter.js";
import { Notice, statusText } from "./notice.js";
import { OutputWatch } from "./output.js";
import { Player } from "./player.js";

/** Loss below this is inaudible. */
const INAUDIBLE_PERCENT = 0.5;

/** Peaks below this, in dBFS, for this number of seconds, may mean that the source has ended. */
const SILENT_DB = -70;
const SILENT_S = 3;
/** Longest time between two questions during a long silence, in seconds. */
const MAX_ASK_EVERY_S = 30;

const READY = { title: "Ready", advice: "Press Listen to hear the programme." };
const ENDED = { title: "The programme has ended", advice: "The channel is silent until it has audio again." };
const BLOCKED = { title: "Playback blocked", advice: "Your browser blocked the sound. Press Listen again." };
const NO_OUTPUT = {
  title: "No sound output",
  advice: "Audio arrives, but your browser cannot play it. Connect speakers or headphones, then press Stop and Listen.",
};

/** @param {import("./inbound_stats.js").ListenStats | null} stats */
function qualityOf(stats) {
  if (stats === null) return "";
  if (Math.max(stats.lossPercent, stats.concealedPercent) < INAUDIBLE_PERCENT) return "The connection is good.";
  return "Some audio is lost. A longer delay may help.";
}

export class ListenView {
  #player;
  #channels;
  #silentS = 0;
  #askAtS = SILENT_S;
  /** @type {import("./link.js").LinkState} */
  #stateBefore = "idle";
  #dial;
  #meter = new Meter();
  #notice = new Notice("listen");
  #output = new OutputWatch();

  /** @param {Player} player @param {import("./channels.js").Channels} channels */
  constructor(player, channels) {
    this.#player = player;
    this.#channels = channels;
    this.#dial = new Dial(element("listen-dial"), this.#meter);
    element("listen").addEventListener("click", () => this.#toggle());
    player.addEventListener("change", () => this.#showState());
    player.addEventListener("stats", () => this.#readStats());
    player.addEventListener("stream", () => this.#attachStream());
    player.addEventListener("change", () => this.#refreshChannels());
    channels.addEventListener("list", () => this.#showNotice());
    channels.addEventListener("choice", () => this.#showNotice());
    this.#bindVolume();
    this.#bindDelay();
    this.#showState();
  }

  get meter() {
    return this.#meter;
  }

  #toggle() {
    const { state, blocked } = this.#player;
    if (blocked || state === "idle" || state === "failed") this.#player.start();
    else this.#player.stop();
  }

  async #askForToken() {
    if (await askForToken("whep")) this.#player.start();
  }

  #showState() {
    const { state, blocked, problem } = this.#player;
    const on = !blocked && state !== "idle" && state !== "failed";
    element("listen").classList.toggle("on", on);
    write("listen-label", on ? "Stop" : "Listen");
    element("lamp-live").classList.toggle("lit", state === "live");
    element("lamp-stereo").classList.toggle("lit", state === "live" && this.#player.stereo);
    if (state === "live" || state === "interrupted") this.#dial.start();
    else this.#dial.stop();
    if (state === "idle" || state === "failed") this.#meter.detach();
    this.#notice.showCountdown(this.#player);
    this.#showNotice();
    this.#showFigures();
    if (problem?.kind === "unauthorized" && state === "failed") void this.#askForToken();
  }

  #attachStream() {
    this.#output.reset();
    if (this.#player.stream) this.#meter.attach(this.#player.stream);
  }

  #readStats() {
    const { stats, paused } = this.#player;
    if (stats && !paused) this.#output.read(stats);
    this.#watchSource();
    this.#showNotice();
    this.#showFigures();
  }

  /** Asks for the channels only when they may have changed, not all the time. */
  #refreshChannels() {
    const { state } = this.#player;
    if (state !== this.#stateBefore && (state === "live" || state === "failed")) void this.#channels.load();
    this.#stateBefore = state;
  }

  /** Asks whether the source has ended when it is silent, or has returned when it is heard. Call it once a second. */
  #watchSource() {
    const isSilent = this.#meter.peaksDb().every((peakDb) => peakDb < SILENT_DB);
    this.#silentS = isSilent ? this.#silentS + 1 : 0;
    if (!isSilent) {
      this.#askAtS = SILENT_S;
      if (this.#channels.current?.sourceEnded) void this.#channels.load();
    } else if (this.#silentS >= this.#askAtS) {
      this.#askAtS += Math.min(this.#silentS, MAX_ASK_EVERY_S);
      void this.#channels.load();
    }
  }

  #showNotice() {
    const { state, blocked, stats, problem: failure } = this.#player;
    const { current, label, problem } = this.#channels;
    const source = current?.sourceEnded ? ENDED : { title: `Playing ${label}`.trim(), advice: qualityOf(stats) };
    const idle = problem?.words ?? READY;
    const playing = this.#output.isStuck ? NO_OUTPUT : source;
    const isGone = problem !== null && state === "failed" && failure?.kind === "missing";
    const status = isGone ? problem.words : statusText(this.#player, idle, playing);
    this.#notice.show(blocked ? BLOCKED : status);
    if (blocked) this.#notice.setState("blocked");
    else this.#notice.setState(state === "idle" && problem ? "failed" : state);
  }

  #showFigures() {
    const { stats, stereo } = this.#player;
    write("figure-loss", figure(stats?.lossPercent, 1, "%"));
    write("figure-buffer", figure(stats?.jitterBufferMs, 0, "ms"));
    write("figure-round-trip", figure(stats?.roundTripMs, 0, "ms"));
    write("figure-bitrate", figure(stats?.bitrateKbps, 0, "kbit/s"));
    write("figure-codec", stats ? `${stats.codec.replace("opus", "Opus")} ${stereo ? "stereo" : "mono"}` : "–");
  }

  #bindVolume() {
    bindFader("volume", 100, (percent) => {
      this.#player.volume = percent / 100;
      return `${percent} %`;
    });
    element("volume-fader").hidden = !Player.canSetVolume;
  }

  #bindDelay() {
    element("delay-fader").hidden = !Player.canDelay;
    bindFader("delay", 0, (ms) => {
      this.#player.delayMs = ms === 0 ? null : ms;
      return ms === 0 ? "automatic" : `at least ${ms} ms`;
    });
  }
}
