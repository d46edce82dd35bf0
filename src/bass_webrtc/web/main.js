/**
 * Entry point of the page: creates the player and its view, and the Talk side if the server supports it.
 *
 * Interface for tests and the browser console, kept stable:
 *
 *     window.bassWebrtc.player   Player (player.js): start(), stop(), volume, delayMs,
 *                                state ("idle" | "connecting" | "live" | "interrupted" | "waiting" | "failed"),
 *                                problem ({ kind, status, detail, words }) or null, stats (ListenStats) or null,
 *                                stream (MediaStream) or null, pc (RTCPeerConnection) or null, stereo, blocked
 *     window.bassWebrtc.channels Channels (channels.js): list, chosen, current, choose(name)
 *     window.bassWebrtc.levels() [left, right] current peaks in dBFS, before the volume control
 *
 * and, once the server has turned out to accept microphones:
 *
 *     window.bassWebrtc.publisher          Publisher (publisher.js): start(), stop(), muted, configure(), settings,
 *                                          onAir, state, problem, stats (TalkStats) or null, stream, pc
 *     window.bassWebrtc.microphoneLevels() as levels()
 */

import { tokenOf } from "./access.js";
import { ChannelView } from "./channel_view.js";
import { Channels } from "./channels.js";
import { ListenView } from "./listen_view.js";
import { bindMediaKeys } from "./media_keys.js";
import { Player } from "./player.js";
import { describe } from "./session.js";

/** @param {string} path Relative to the page, which a proxy may serve under a prefix. */
const relative = (path) => new URL(path, document.baseURI);

const station = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=application-name]")).content;
/** @type {HTMLElement} */ (document.getElementById("station")).textContent = station;

const channels = new Channels(relative("api/channels"), () => tokenOf("whep"));
const player = new Player({
  audio: /** @type {HTMLAudioElement} */ (document.getElementById("audio")),
  endpoint: () => relative(channels.endpoint),
  statistics: relative("api/stats"),
  token: () => tokenOf("whep"),
});
const view = new ListenView(player, channels);
new ChannelView(channels, station);
channels.addEventListener("choice", () => void player.reconnect());
void channels.load();
bindMediaKeys(player, channels, station);

const hook = { player, channels, levels: () => view.meter.peaksDb() };
Object.assign(window, { bassWebrtc: hook });

/** Adds the Talk side if the server accepts microphones. */
async function addTalk() {
  const { exists, iceServers } = await describe(relative("whip"), tokenOf("whip"));
  if (!exists) return;
  const [{ Publisher }, { recallTalkSettings }, { TalkView }] = await Promise.all([
    import("./publisher.js"),
    import("./talk_settings.js"),
    import("./talk_view.js"),
  ]);
  const publisher = new Publisher({
    endpoint: () => relative("whip"),
    token: () => tokenOf("whip"),
    settings: recallTalkSettings(),
  });
  publisher.iceServers = iceServers;
  const talkView = new TalkView(publisher, player);
  Object.assign(hook, { publisher, microphoneLevels: () => talkView.meter.peaksDb() });
}

// Ask before the user presses Listen: TURN servers must be known when the connection is created.
describe(relative("whep"), tokenOf("whep")).then(
  ({ iceServers }) => (player.iceServers = iceServers),
  () => undefined,
);
addTalk().catch(() => undefined); // Without an answer the page can still listen later.
