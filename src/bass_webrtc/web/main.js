/**
 * The page: makes the player, shows it, and hands it to whoever looks from outside.
 *
 * For tests and for people with a console open, and kept stable:
 *
 *     window.bassWebrtc.player   Player (player.js): start(), stop(), volume, delayMs,
 *                                state ("idle" | "connecting" | "live" | "interrupted" | "waiting" | "failed"),
 *                                problem ({ kind, status, detail, words }) or null, stats (ListenStats) or null,
 *                                stream (MediaStream) or null, pc (RTCPeerConnection) or null, stereo, blocked
 *     window.bassWebrtc.levels() [left, right] peaks of this moment in dBFS, before the volume
 *
 * and, once the server is known to take microphones:
 *
 *     window.bassWebrtc.publisher          Publisher (publisher.js): start(), stop(), muted, configure(), settings,
 *                                          onAir, state, problem, stats (TalkStats) or null, stream, pc
 *     window.bassWebrtc.microphoneLevels() as levels()
 */

import { tokenOf } from "./access.js";
import { ListenView } from "./listen_view.js";
import { bindMediaKeys } from "./media_keys.js";
import { Player } from "./player.js";
import { describe } from "./session.js";

/** @param {string} path Beside the page, wherever a proxy put it. */
const beside = (path) => new URL(path, document.baseURI);

const station = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=application-name]")).content;
document.title = station;
/** @type {HTMLElement} */ (document.getElementById("station")).textContent = station;

const player = new Player({
  audio: /** @type {HTMLAudioElement} */ (document.getElementById("audio")),
  endpoint: beside("whep"),
  statistics: beside("api/stats"),
  token: () => tokenOf("whep"),
});
const view = new ListenView(player);
bindMediaKeys(player, station);

const hook = { player, levels: () => view.meter.peaksDb() };
Object.assign(window, { bassWebrtc: hook });

/** The Talk side: there only when the server takes microphones. */
async function addTalk() {
  const { exists, iceServers } = await describe(beside("whip"), tokenOf("whip"));
  if (!exists) return;
  const [{ Publisher }, { recallTalkSettings }, { TalkView }] = await Promise.all([
    import("./publisher.js"),
    import("./talk_settings.js"),
    import("./talk_view.js"),
  ]);
  const publisher = new Publisher({
    endpoint: beside("whip"),
    token: () => tokenOf("whip"),
    settings: recallTalkSettings(),
  });
  publisher.iceServers = iceServers;
  const talkView = new TalkView(publisher, player);
  Object.assign(hook, { publisher, microphoneLevels: () => talkView.meter.peaksDb() });
}

// Asked before anybody presses the key: TURN servers are needed when the connection is made, not afterwards.
describe(beside("whep"), tokenOf("whep")).then(
  ({ iceServers }) => (player.iceServers = iceServers),
  () => undefined,
);
addTalk().catch(() => undefined); // A server that cannot be asked can be listened to all the same, later.
