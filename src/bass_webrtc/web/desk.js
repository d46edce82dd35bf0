/**
 * Entry point of the desk, `/desk`. The token is typed, or comes in the fragment: `/desk#token=TOKEN`.
 *
 * Interface for tests and the browser console, kept stable:
 *
 *     window.bassWebrtc.link     DeskLink (desk_link.js): start(), stop(), state, problem, lastDesk, lastLevels
 *     window.bassWebrtc.producer Producer (producer.js): start(), stop(), muted, state, problem, stats, stream, pc
 */

import { nameOf } from "./call_row.js";
import { DeskApi } from "./desk_api.js";
import { bindDeskKeys } from "./desk_keys.js";
import { DeskLink } from "./desk_link.js";
import { DeskView } from "./desk_view.js";
import { element, write } from "./dom.js";
import { InvitesView } from "./invites_view.js";
import { Notice } from "./notice.js";
import { Producer } from "./producer.js";
import { ProducerView } from "./producer_view.js";
import { describe } from "./session.js";
import { forget, recall, remember } from "./settings.js";
import { Speaker } from "./speaker.js";
import { recallTalkSettings } from "./talk_settings.js";

const TOKEN = "token.desk";

/** @param {string} path Relative to the page, which a proxy may serve under a prefix. */
const relative = (path) => new URL(path, document.baseURI);
const token = () => recall(TOKEN, "sessionStorage");

/** Takes the token out of the address bar before anybody can read or bookmark it. */
function takeTokenFromUrl() {
  // A token may contain a plus sign, which URLSearchParams would read as a space.
  const given = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B")).get("token");
  if (given === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  remember(TOKEN, given, "sessionStorage");
}
takeTokenFromUrl();

const station = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=application-name]")).content;
write("station", station);
write("call-address", relative("call").href);
document.title = `Desk – ${station}`;

const link = new DeskLink(relative("api/events"), token);
const api = new DeskApi(relative("api/"), token);
const view = new DeskView(api, station);
const invites = new InvitesView(api, view);
const notice = new Notice("link");
const speaker = new Speaker(/** @type {HTMLAudioElement} */ (element("audio")));
const producer = new Producer({
  endpoint: () => relative("desk/audio"),
  token,
  settings: { ...recallTalkSettings(), pushToTalk: false },
  speaker,
});
const producerView = new ProducerView(producer);
bindDeskKeys(view);
Object.assign(window, { bassWebrtc: { link, producer } });

link.addEventListener("desk", () => {
  const { calls, invites: list } = link.lastDesk;
  view.show(link.lastDesk);
  invites.show(list);
  const hears = calls.filter((/** @type {any} */ call) => call.talkback || call.state === "private");
  producerView.setAudience(hears.map(nameOf));
});
link.addEventListener("levels", () => view.showLevels(link.lastLevels));
link.addEventListener("change", () => showLink());

element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (element("token"));
  remember(TOKEN, field.value.trim(), "sessionStorage");
  field.value = "";
  link.start();
});
element("sign-out").addEventListener("click", () => {
  forget(TOKEN, "sessionStorage");
  producer.stop();
  link.stop();
});
addEventListener("hashchange", () => {
  takeTokenFromUrl();
  if (token() !== null) link.start();
});

/** @type {Record<number, string>} Why the desk cannot be used, by HTTP status. */
const REFUSALS = {
  401: "The token was rejected.",
  403: "The server refuses requests from this page.",
  404: "This server has no desk: it was started without a desk token.",
};

let isDescribed = false;

function showLink() {
  const { state, problem } = link;
  const isIn = state === "live" || state === "waiting" || (state === "connecting" && link.lastDesk !== null);
  const wasIn = !element("console").hidden;
  const wasTyped = element("sign-in").contains(document.activeElement);
  element("sign-in").hidden = isIn;
  element("console").hidden = !isIn;
  element("sign-out").hidden = !isIn;
  element("lost").hidden = !isIn || state === "live";
  element("console").classList.toggle("stale", state !== "live");
  if (state !== "live") view.showNothing();
  notice.showCountdown(link);
  write("link-title", problem === null || state === "connecting" ? "Connecting…" : problem.words.title);
  write("link-advice", problem?.words.advice ?? "");
  write("sign-in-problem", signInProblem());
  if (wasIn && !isIn) element("token").focus();
  if (isIn && wasTyped) element("callers-title").focus();
  if (state === "live" && !isDescribed) void describeAudio();
}

function signInProblem() {
  const { state, problem } = link;
  if (state !== "failed" || problem === null) return state === "connecting" ? "Connecting…" : "";
  return REFUSALS[problem.status] ?? `${problem.words.title}. ${problem.words.advice}`.trim();
}

/** Asks for ICE servers before the producer presses Talk: they must be known when the connection is created. */
async function describeAudio() {
  isDescribed = true;
  const { iceServers } = await describe(relative("desk/audio"), token()).catch(() => ({ iceServers: [] }));
  producer.iceServers = iceServers;
}

if (token() !== null) link.start();
showLink();
