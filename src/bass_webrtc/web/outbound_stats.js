/** What getStats() says of the sound that goes out, in units for people. */

import { roundTripMs } from "./inbound_stats.js";

/**
 * @typedef {object} TalkStats
 * @property {number} packetsSent
 * @property {number} bitrateKbps Opus alone, without headers, since the last reading.
 * @property {number | null} lossPercent What the server reports of the last seconds; null before its first report.
 * @property {number | null} roundTripMs
 */

/** Reads one connection about once a second; a new connection needs a new reader. */
export class OutboundStats {
  #bytes = 0;
  #timestamp = 0;

  /**
   * @param {RTCPeerConnection} pc
   * @returns {Promise<TalkStats | null>} null before the first packet.
   */
  async read(pc) {
    const report = await pc.getStats();
    const all = [...report.values()];
    const sent = all.find(({ type, kind }) => type === "outbound-rtp" && kind === "audio");
    const reported = all.find(({ type, kind }) => type === "remote-inbound-rtp" && kind === "audio");
    if (!sent?.packetsSent) return null;
    const elapsedMs = sent.timestamp - this.#timestamp;
    const bitrateKbps = this.#timestamp > 0 && elapsedMs > 0 ? (8 * (sent.bytesSent - this.#bytes)) / elapsedMs : 0;
    this.#bytes = sent.bytesSent;
    this.#timestamp = sent.timestamp;
    return {
      packetsSent: sent.packetsSent,
      bitrateKbps,
      lossPercent: reported?.fractionLost === undefined ? null : 100 * reported.fractionLost,
      roundTripMs: reported?.roundTripTime === undefined ? roundTripMs(report) : 1000 * reported.roundTripTime,
    };
  }
}
