/** What getStats() says of the sound that comes in, in units for people. */

/** Loss and bitrate are told of this many seconds: long enough to see 0.2 %, short enough to be live. */
const WINDOW_S = 10;

/** A browser fills the time until its buffer is full with made-up samples: not a fault of the network. */
const SETTLING_READINGS = 3;

/**
 * @typedef {object} ListenStats
 * @property {number} packetsReceived
 * @property {number} packetsLost
 * @property {number} lossPercent Over the last ten seconds.
 * @property {number} concealedSamples Samples that the browser made up because nothing came in time.
 * @property {number} totalSamplesReceived
 * @property {number} concealedPercent Over the last ten seconds.
 * @property {number} bitrateKbps Opus alone, without headers, over the last ten seconds.
 * @property {number} jitterMs
 * @property {number} jitterBufferMs Mean wait in the jitter buffer, over the last second.
 * @property {number | null} roundTripMs
 * @property {string} codec For example `opus`.
 * @property {string} codecParameters The fmtp line.
 */

/** @param {RTCStatsReport} report @param {(stats: any) => boolean} wanted @returns {any} */
function find(report, wanted) {
  for (const stats of report.values()) if (wanted(stats)) return stats;
  return undefined;
}

/** @param {RTCStatsReport} report The round trip of the path in use, from its consent checks; in ms. */
export function roundTripMs(report) {
  const transport = find(report, ({ type }) => type === "transport");
  // Firefox has no transport statistics, but says which pair is in use.
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

/** Reads one connection about once a second; a new connection needs a new reader. */
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
    return this.#digest(now, report);
  }

  /** @param {any} now @param {RTCStatsReport} report @returns {ListenStats} */
  #digest(now, report) {
    const codec = report.get(now.codecId);
    const lost = this.#grown("packetsLost");
    const concealed = this.#grown("concealedSamples");
    return {
      packetsReceived: now.packetsReceived,
      packetsLost: now.packetsLost,
      lossPercent: percent(lost, this.#grown("packetsReceived")),
      concealedSamples: now.concealedSamples ?? 0,
      totalSamplesReceived: now.totalSamplesReceived ?? 0,
      concealedPercent: percent(concealed, this.#grown("totalSamplesReceived") - concealed),
      bitrateKbps: (8 * this.#grown("bytesReceived")) / Math.max(this.#grown("timestamp"), 1),
      jitterMs: (now.jitter ?? 0) * 1000,
      jitterBufferMs: this.#jitterBufferMs(),
      roundTripMs: roundTripMs(report),
      codec: (codec?.mimeType ?? "").split("/").at(-1).toLowerCase(),
      codecParameters: codec?.sdpFmtpLine ?? "",
    };
  }

  /** @param {string} name How much a counter grew within the window. */
  #grown(name) {
    return (this.#history.at(-1)[name] ?? 0) - (this.#history[0][name] ?? 0);
  }

  /** Of the samples that left the buffer since the last reading (webrtc-stats, jitterBufferDelay). */
  #jitterBufferMs() {
    const now = this.#history.at(-1);
    const before = this.#history.at(-2) ?? { jitterBufferDelay: 0, jitterBufferEmittedCount: 0 };
    const emitted = now.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
    return emitted > 0 ? (1000 * (now.jitterBufferDelay - before.jitterBufferDelay)) / emitted : 0;
  }
}
