/**
 * Parsing and editing of session descriptions and ICE fragments. Pure functions: no network, no browser objects.
 *
 * The page negotiates exactly one audio section, so sections need not be told apart.
 */

const CRLF = "\r\n";

/** @param {string} sdp @returns {string[]} */
const linesOf = (sdp) => sdp.split(/\r?\n/).filter((line) => line !== "");

/** @param {string[]} lines */
const join = (lines) => lines.join(CRLF) + CRLF;

/**
 * Payload types of Opus; the encoding name is case-insensitive (RFC 7587, 7).
 * @param {string[]} lines
 */
function opusPayloadTypes(lines) {
  return lines.flatMap((line) => /^a=rtpmap:(\d+) opus\/48000/i.exec(line)?.[1] ?? []);
}

/**
 * @param {string} text The parameters of one fmtp line.
 * @returns {Map<string, string>}
 */
function parseParameters(text) {
  const pairs = text
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair !== "");
  return new Map(
    pairs.map((pair) => {
      const [name, ...value] = pair.split("=");
      return /** @type {[string, string]} */ ([name.trim().toLowerCase(), value.join("=").trim()]);
    }),
  );
}

/**
 * Sets parameters of every Opus format (RFC 7587, 6.1); `null` removes one, others are kept.
 *
 * `stereo=1` means that the sender of the description can receive stereo. Chromium omits it and then decodes mono.
 *
 * @param {string} sdp
 * @param {Record<string, string | number | null>} changes
 */
export function setOpusParameters(sdp, changes) {
  const lines = linesOf(sdp);
  for (const payloadType of opusPayloadTypes(lines)) {
    const prefix = `a=fmtp:${payloadType} `;
    const at = lines.findIndex((line) => line.startsWith(prefix));
    const parameters = parseParameters(at < 0 ? "" : lines[at].slice(prefix.length));
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) parameters.delete(name);
      else parameters.set(name, String(value));
    }
    const text = prefix + [...parameters].map(([name, value]) => `${name}=${value}`).join(";");
    if (at >= 0) lines[at] = text;
    else lines.splice(lines.findIndex((line) => line.startsWith(`a=rtpmap:${payloadType} `)) + 1, 0, text);
  }
  return join(lines);
}

/**
 * Offers to request lost Opus packets again (RFC 4585, 4.2). Chromium does so if its own offer says it, but omits that.
 * @param {string} sdp
 */
export function offerNack(sdp) {
  const lines = linesOf(sdp);
  for (const payloadType of opusPayloadTypes(lines)) {
    const feedback = `a=rtcp-fb:${payloadType} nack`;
    if (lines.includes(feedback)) continue;
    lines.splice(lines.findIndex((line) => line.startsWith(`a=rtpmap:${payloadType} `)) + 1, 0, feedback);
  }
  return join(lines);
}

/**
 * One parameter of the first Opus format, or undefined.
 * @param {string} sdp @param {string} name
 */
export function opusParameter(sdp, name) {
  const lines = linesOf(sdp);
  const [payloadType] = opusPayloadTypes(lines);
  const line = lines.find((text) => text.startsWith(`a=fmtp:${payloadType} `));
  return line && parseParameters(line.slice(line.indexOf(" ") + 1)).get(name);
}

/**
 * Whether the other side is ICE-lite: it sends no checks, so it needs no candidates (RFC 8445, 2.5).
 * @param {string} sdp
 */
export const isIceLite = (sdp) => linesOf(sdp).includes("a=ice-lite");

/**
 * The value of the first `a=name:` line, or "".
 * @param {string[]} lines @param {string} name
 */
function attribute(lines, name) {
  return lines.find((line) => line.startsWith(`a=${name}:`))?.slice(name.length + 3) ?? "";
}

/**
 * Builds an `application/trickle-ice-sdpfrag` body (RFC 8840, 9; RFC 9725, 4.3.2).
 *
 * @param {string} sdp Local description; its credentials and media line are copied.
 * @param {string[]} candidates `candidate:…` without `a=`.
 * @param {boolean} complete Whether gathering is complete.
 */
export function buildFragment(sdp, candidates, complete) {
  const lines = linesOf(sdp);
  return join([
    `a=ice-ufrag:${attribute(lines, "ice-ufrag")}`,
    `a=ice-pwd:${attribute(lines, "ice-pwd")}`,
    lines.find((line) => line.startsWith("m=")) ?? "m=audio 9 UDP/TLS/RTP/SAVPF 0",
    `a=mid:${attribute(lines, "mid")}`,
    ...candidates.map((candidate) => `a=${candidate}`),
    ...(complete ? ["a=end-of-candidates"] : []),
  ]);
}

const ICE_LINE = /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)\b/;

/**
 * Returns the answer after an ICE restart, with the credentials and candidates of the fragment.
 *
 * @param {string} answer The session's last answer.
 * @param {string} fragment The server's response to the restart (RFC 9725, 4.3.3).
 * @returns {string | null} null if the fragment has no credentials.
 */
export function applyRestart(answer, fragment) {
  const fresh = linesOf(fragment).filter((line) => ICE_LINE.test(line));
  if (!attribute(fresh, "ice-ufrag") || !attribute(fresh, "ice-pwd")) return null;
  return join([...linesOf(answer).filter((line) => !ICE_LINE.test(line)), ...fresh]);
}

/**
 * Parses ICE servers from a `Link` header (RFC 9725, 4.6). Commas and semicolons inside `<…>` and quotes belong to the
 * value. Entries that are not STUN or TURN servers are ignored.
 *
 * @param {string | null} header
 * @returns {RTCIceServer[]}
 */
export function iceServersOf(header) {
  const links = (header ?? "").match(/<[^>]*>(?:\s*;\s*[\w-]+\s*=\s*(?:"[^"]*"|[^\s";,]+))*/g) ?? [];
  return links.flatMap((link) => {
    const url = link.slice(1, link.indexOf(">")).replace(/%3F/i, "?");
    const parameters = new Map(
      [...link.matchAll(/;\s*([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s";,]+))/g)].map(([, name, quoted, plain]) => [
        name.toLowerCase(),
        quoted ?? plain,
      ]),
    );
    if (parameters.get("rel") !== "ice-server" || !/^(stun|turn)s?:/i.test(url)) return [];
    const username = parameters.get("username");
    return [username === undefined ? { urls: url } : { urls: url, username, credential: parameters.get("credential") }];
  });
}
