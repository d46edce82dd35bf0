/**
 * A WHEP or WHIP session over HTTP: POST an offer, PATCH candidates or an ICE restart, DELETE.
 *
 * Independent of RTCPeerConnection: descriptions and fragments are text, failures are a `Problem`.
 */

import { Problem, problemOf } from "./problem.js";
import { iceServersOf } from "./sdp.js";

const SDP = "application/sdp";
const FRAGMENT = "application/trickle-ice-sdpfrag";

/** Timeout of a request, in ms. */
const TIMEOUT_MS = 10_000;

/**
 * Sends a request. Its `signal` replaces the timeout.
 *
 * @param {string | URL} url
 * @param {RequestInit} init
 * @param {string | null} token null sends no Authorization header (RFC 9725, 4.7.1).
 * @returns {Promise<Response>} Rejects with a `Problem` if there is no response.
 */
export async function request(url, init, token) {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  try {
    return await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...init, headers });
  } catch {
    throw new Problem(navigator.onLine ? "network" : "offline");
  }
}

/**
 * Asks an endpoint whether it exists and which ICE servers to use, before connecting.
 *
 * @param {string | URL} endpoint
 * @param {string | null} token Servers give TURN credentials only to authorized clients.
 * @returns {Promise<{ exists: boolean, iceServers: RTCIceServer[] }>}
 */
export async function describe(endpoint, token) {
  const response = await request(endpoint, { method: "OPTIONS" }, token);
  return { exists: response.ok, iceServers: iceServersOf(response.headers.get("Link")) };
}

export class Session {
  #token;
  /** @type {string | null} Kept verbatim, because servers use several formats. */
  #etag;
  /** @type {URL | null} */
  #url;

  /** @param {string | URL} endpoint @param {string | null} token @param {Response} response @param {string} answer */
  constructor(endpoint, token, response, answer) {
    const location = response.headers.get("Location");
    /** The server's answer, SDP. */
    this.answer = answer;
    /** ICE servers for the next connection; they arrive too late for this offer. */
    this.iceServers = iceServersOf(response.headers.get("Link"));
    this.#etag = response.headers.get("ETag");
    // Relative to the URL of the response, after redirects (RFC 9110, 10.2.2).
    this.#url = location === null ? null : new URL(location, response.url);
    // The token is meant for the endpoint's origin only; the session may be elsewhere.
    this.#token = this.#url?.origin === new URL(endpoint, document.baseURI).origin ? token : null;
  }

  /**
   * Opens a session.
   *
   * @param {string | URL} endpoint
   * @param {string} offer SDP.
   * @param {string | null} token
   * @returns {Promise<Session>} Rejects with a `Problem`.
   */
  static async open(endpoint, offer, token) {
    const response = await request(endpoint, { method: "POST", headers: { "Content-Type": SDP }, body: offer }, token);
    if (!response.ok) throw await problemOf(response);
    const answer = await response.text().catch(() => "");
    const session = new Session(endpoint, token, response, answer);
    if (!answer.startsWith("v=0")) {
      void session.close();
      throw new Problem("unreadable", { status: response.status, detail: "Expected a session description (SDP)" });
    }
    return session;
  }

  /**
   * Sends candidates. Errors are ignored: the media often gets through without them.
   * @param {string} fragment
   */
  async trickle(fragment) {
    await this.#patch(fragment, this.#etag).catch(() => null);
  }

  /**
   * Requests an ICE restart (RFC 9725, 4.3.3).
   *
   * @param {string} fragment New credentials, and candidates if any are known.
   * @returns {Promise<string | null>} The server's fragment; null if the session cannot be restarted.
   */
  async restart(fragment) {
    const response = await this.#patch(fragment, "*");
    if (response?.status !== 200) return null;
    this.#etag = response.headers.get("ETag");
    return response.text();
  }

  /**
   * Asks the server for the session's state.
   * @returns {Promise<Response | null>} null if the session has ended; rejects with a `Problem` without an answer.
   */
  async read() {
    return this.#url === null ? null : request(this.#url, { headers: { Accept: "application/json" } }, this.#token);
  }

  /**
   * Ends the session. Works during page unload, too: `keepalive` lets the request outlive the page.
   * @returns {Promise<void>} Resolves when the server has ended it, or cannot be asked.
   */
  async close() {
    const url = this.#url;
    this.#url = null;
    if (url !== null) await request(url, { method: "DELETE", keepalive: true }, this.#token).catch(() => null);
  }

  /** @param {string} fragment @param {string | null} ifMatch */
  async #patch(fragment, ifMatch) {
    if (this.#url === null) return null;
    const headers = new Headers({ "Content-Type": FRAGMENT });
    if (ifMatch !== null) headers.set("If-Match", ifMatch);
    return request(this.#url, { method: "PATCH", headers, body: fragment }, this.#token);
  }
}
