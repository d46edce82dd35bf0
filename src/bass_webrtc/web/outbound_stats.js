/** Statistics of sent audio, from getStats(), in human-readable units. */

import { roundTripMs } from "./inbound_stats.js";

/**
 * @typedef {object} TalkStats
 * @property {number} packetsSent
 * @property {number} bitrateKbps Opus payload without headers, since the last reading.
 * @property {number | null} lossPercent From the server's last receiver report; null before the first.
 * @property {number | null} roundTripMs
 */

/** Statistics of one connection, read about once a second. Create a new object for each connection. */
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
