/** A caller's network in a word, and its figures. */

import { figure } from "./dom.js";

/** Above these the network is poor, or fair: fraction of lost packets, round trip and jitter in ms. */
const POOR = { lost: 0.05, roundTripMs: 400, jitterMs: 60 };
const FAIR = { lost: 0.01, roundTripMs: 200, jitterMs: 25 };

/** @param {import("./desk_api.js").Network} network @param {typeof POOR} limits */
const exceeds = ({ fraction_lost, round_trip_ms, jitter_ms }, { lost, roundTripMs, jitterMs }) =>
  (fraction_lost ?? 0) > lost || (round_trip_ms ?? 0) > roundTripMs || jitter_ms > jitterMs;

/**
 * @param {import("./desk_api.js").Network} network
 * @returns {{ grade: "good" | "fair" | "poor" | "unknown", words: string }}
 */
export function healthOf(network) {
  if (network.fraction_lost === null && network.round_trip_ms === null)
    return { grade: "unknown", words: "Not measured yet" };
  if (exceeds(network, POOR)) return { grade: "poor", words: `Poor: ${reason(network, POOR)}` };
  if (exceeds(network, FAIR)) return { grade: "fair", words: `Fair: ${reason(network, FAIR)}` };
  return { grade: "good", words: "Good" };
}

/** @param {import("./desk_api.js").Network} network @param {typeof POOR} limits */
function reason({ fraction_lost, round_trip_ms }, { lost, roundTripMs }) {
  if ((fraction_lost ?? 0) > lost) return "audio is lost";
  return (round_trip_ms ?? 0) > roundTripMs ? "long delay" : "uneven delay";
}

/** @param {import("./desk_api.js").Network} network @returns {[string, string][]} Names and values. */
export const figuresOf = (network) => [
  ["Round trip", figure(network.round_trip_ms, 0, "ms")],
  ["Loss", figure(network.fraction_lost === null ? null : 100 * network.fraction_lost, 1, "%")],
  ["Packets lost", String(network.packets_lost)],
  ["Jitter", figure(network.jitter_ms, 1, "ms")],
  ["Buffer", figure(network.buffer_ms, 0, "ms")],
  ["Concealed", figure(network.concealed_s, 1, "s")],
  ["Sent", figure(network.bitrate_kbps, 0, "kbit/s")],
];
