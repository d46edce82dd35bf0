// RTP and RTCP packets.
"use strict";

// RFC 5761, 4.
exports.isRtcp = (packet) => packet[1] >= 192 && packet[1] <= 223;

// RFC 3550, 5.1.
exports.payloadOf = (packet) => {
  let start = 12 + 4 * (packet[0] & 0x0f);
  if (packet[0] & 0x10) start += 4 + 4 * packet.readUInt16BE(start + 2);
  const padding = packet[0] & 0x20 ? packet[packet.length - 1] : 0;
  return Buffer.from(packet.subarray(start, packet.length - padding));
};

exports.packet = (payload, { type, sequence, timestamp, ssrc }) => {
  const header = Buffer.alloc(12);
  header[0] = 0x80;
  header[1] = type;
  header.writeUInt16BE(sequence & 0xffff, 2);
  header.writeUInt32BE(timestamp >>> 0, 4);
  header.writeUInt32BE(ssrc, 8);
  return Buffer.concat([header, payload]);
};
