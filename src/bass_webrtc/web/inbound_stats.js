/** Statistics of received audio, from getStats(), in human-readable units. */

/** Window of loss and bitrate in seconds: long enough to resolve 0.2 %, short enough to be current. */
const WINDOW_S = 10;

/** Readings to ignore: a browser conceals samples until its buffer has filled, which is not the network's fault. */
const SETTLING_READINGS = 3;

/**
 * @typedef {object} ListenStats
 * @property {number} packetsReceived
 * @property {number} packetsLost
 * @property {number} lossPercent Over the last ten seconds.
 * @property {number} concealedSamples Samples concealed because no packet arrived in time.
 * @property {number} totalSamplesReceived
 * @property {number} concealedPercent Over the last ten seconds.
 * @property {number} bitrateKbps Opus payload without headers, over the last ten seconds.
 * @property {number} jitterMs
 * @property {number} jitterBufferMs Mean time in the jitter buffer, over the last second.
 * @property {number | null} roundTripMs
 * @property {string} codec For example `opus`.
 * @property {string} codecParameters The fmtp line.
 */

/** @param {RTCStatsReport} report @param {(stats: any) => boolean} wanted @returns {any} */
function find(report, wanted) {
  for (const stats of report.values()) if (wanted(stats)) return stats;
  return undefined;
}

/** Round-trip time of the selected path in ms, from consent checks. @param {RTCStatsReport} report */
export function roundTripMs(report) {
  const transport = find(report, ({ type }) => type === "transport");
  // Firefox has no transport statistics, but marks the selected pair.
  const pair =
    report.get(transport?.selectedCandidatePairId ?? "") ??
    find(
      report,
      ({ type, selected, nominated, state }) =>
        type === "candidate-pair" && (selected || (nominated && state === "succeeded")),
    );
  return pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000;
}

/** @param {number} part @param {number} rest */
const percent = (part, rest) => (part <= 0 ? 0 : (100 * part) / (part + Math.max(rest, 0)));

/** Statistics of one connection, read about once a second. Create a new object for each connection. */
export class InboundStats {
  /** @type {any[]} Newest last. */
  #history = [];
  #readings = 0;

  /**
   * @param {RTCPeerConnection} pc
   * @returns {Promise<ListenStats | null>} null before the first packet.
   */
  async read(pc) {
    const report = await pc.getStats();
    const now = find(report, ({ type, kind }) => type === "inbound-rtp" && kind === "audio");
    if (!now?.packetsReceived) return null;
    this.#history.push(now);
    if (this.#history.length > WINDOW_S + 1) this.#history.shift();
    if (this.#readings++ < SETTLING_READINGS) {
      this.#history.forEach((earlier) => (earlier.concealedSamples = now.concealedSamples));
    }
    return this.#summarize(now, report);
  }

  /** @param {any} now @param {RTCStatsReport} report @returns {ListenStats} */
  #summarize(now, report) {
    const codec = report.get(now.codecId);
    const lost = this.#growth("packetsLost");
    const concealed = this.#growth("concealedSamples");
    return {
      packetsReceived: now.packetsReceived,
      packetsLost: now.packetsLost,
      lossPercent: percent(lost, this.#growth("packetsReceived")),
      concealedSamples: now.concealedSamples ?? 0,
      totalSamplesReceived: now.totalSamplesReceived ?? 0,
      concealedPercent: percent(concealed, this.#growth("totalSamplesReceived") - concealed),
      bitrateKbps: (8 * this.#growth("bytesReceived")) / Math.max(this.#growth("timestamp"), 1),
      jitterMs: (now.jitter ?? 0) * 1000,
      jitterBufferMs: this.#jitterBufferMs(),
      roundTripMs: roundTripMs(report),
      codec: (codec?.mimeType ?? "").split("/").at(-1).toLowerCase(),
      codecParameters: codec?.sdpFmtpLine ?? "",
    };
  }

  /** Growth of a counter within the window. @param {string} name */
  #growth(name) {
    return (this.#history.at(-1)[name] ?? 0) - (this.#history[0][name] ?? 0);
  }

  /** Mean delay of the samples emitted since the last reading (webrtc-stats, jitterBufferDelay). */
  #jitterBufferMs() {
    const now = this.#history.at(-1);
    const before = this.#history.at(-2) ?? { jitterBufferDelay: 0, jitterBufferEmittedCount: 0 };
    const emitted = now.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
    return emitted > 0 ? (1000 * (now.jitterBufferDelay - before.jitterBufferDelay)) / emitted : 0;
  }
}
