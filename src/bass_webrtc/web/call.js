/**
 * Entry point of the guest page, `/call?invite=SECRET&name=NAME`.
 *
 * Interface for tests and the browser console, kept stable:
 *
 *     window.bassWebrtc.caller             GuestCall (guest_call.js): preview(), start(), stop(), muted, configure(),
 *                                          settings, state, problem, call ({ name, state, position }) or null,
 *                                          stats ({ heard, sent }) or null, stream, pc
 *     window.bassWebrtc.speaker            Speaker (speaker.js): stream, volume, blocked
 *     window.bassWebrtc.microphoneLevels() [left, right] current peaks in dBFS
 */

import { tokenOf } from "./access.js";
import { CallView } from "./call_view.js";
import { element } from "./dom.js";
import { GuestCall } from "./guest_call.js";
import { recall } from "./settings.js";
import { Speaker } from "./speaker.js";
import { recallTalkSettings } from "./talk_settings.js";

const station = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=application-name]")).content;
element("station").textContent = station;
document.title = `Call – ${station}`;

const query = new URLSearchParams(location.search);
const endpoint = new URL("call", document.baseURI);
const nameField = /** @type {HTMLInputElement} */ (element("name"));
nameField.value = query.get("name") ?? recall("name") ?? "";

const speaker = new Speaker(/** @type {HTMLAudioElement} */ (element("audio")));
const caller = new GuestCall({
  endpoint,
  invite: query.get("invite") ?? "",
  name: () => nameField.value.trim(),
  token: () => tokenOf("whip"),
  settings: recallTalkSettings(),
  speaker,
});
const view = new CallView(caller);
Object.assign(window, { bassWebrtc: { caller, speaker, microphoneLevels: () => view.meter.peaksDb() } });

void caller.findServers();
