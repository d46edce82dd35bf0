/**
 * One WHEP or WHIP session over HTTP: POST an offer, PATCH candidates or an ICE restart, DELETE.
 *
 * Knows no RTCPeerConnection: descriptions and fragments go in and out as text, failures come out as `Problem`.
 */

import { Problem, problemOf } from "./problem.js";
import { iceServersOf } from "./sdp.js";

const SDP = "application/sdp";
const FRAGMENT = "application/trickle-ice-sdpfrag";

/** How long a request may take, in ms. */
const TIMEOUT_MS = 10_000;

/**
 * @param {string | URL} url
 * @param {RequestInit} init
 * @param {string | null} token Without one, no Authorization header is sent (RFC 9725, 4.7.1).
 * @returns {Promise<Response>} Rejects with a `Problem` when there is no answer.
 */
async function request(url, init, token) {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  try {
    return await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...init, headers });
  } catch {
    throw new Problem(navigator.onLine ? "network" : "offline");
  }
}

/**
 * What an endpoint says of itself before anybody connects.
 *
 * @param {string | URL} endpoint
 * @param {string | null} token Servers give out TURN credentials only to those who may connect.
 * @returns {Promise<{ exists: boolean, iceServers: RTCIceServer[] }>}
 */
export async function describe(endpoint, token) {
  const response = await request(endpoint, { method: "OPTIONS" }, token);
  return { exists: response.ok, iceServers: iceServersOf(response.headers.get("Link")) };
}

export class Session {
  #token;
  /** @type {string | null} Kept verbatim: servers send it in more forms than one. */
  #etag;
  /** @type {URL | null} */
  #url;

  /** @param {string | URL} endpoint @param {string | null} token @param {Response} response @param {string} answer */
  constructor(endpoint, token, response, answer) {
    const location = response.headers.get("Location");
    /** The server's description, SDP. */
    this.answer = answer;
    /** Servers to use for the next connection: they arrive too late for this one's offer. */
    this.iceServers = iceServersOf(response.headers.get("Link"));
    this.#etag = response.headers.get("ETag");
    // Resolved against where the answer came from, after redirects (RFC 9110, 10.2.2).
    this.#url = location === null ? null : new URL(location, response.url);
    // The token was meant for the endpoint's origin, not for wherever a session may live.
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
      session.close();
      throw new Problem("unreadable", { status: response.status, detail: "No session description came back" });
    }
    return session;
  }

  /**
   * Tells the server of candidates. A server that does not take them is no fault: the media often gets through anyway.
   * @param {string} fragment
   */
  async trickle(fragment) {
    await this.#patch(fragment, this.#etag).catch(() => null);
  }

  /**
   * Asks for an ICE restart (RFC 9725, 4.3.3).
   *
   * @param {string} fragment The new credentials, and candidates when there are any yet.
   * @returns {Promise<string | null>} The server's fragment; null when this session cannot go on.
   */
  async restart(fragment) {
    const response = await this.#patch(fragment, "*");
    if (response?.status !== 200) return null;
    this.#etag = response.headers.get("ETag");
    return response.text();
  }

  /** Ends the session. Also works while the page is being left: `keepalive` lets the request outlive it. */
  close() {
    if (this.#url === null) return;
    request(this.#url, { method: "DELETE", keepalive: true }, this.#token).catch(() => null);
    this.#url = null;
  }

  /** @param {string} fragment @param {string | null} ifMatch */
  async #patch(fragment, ifMatch) {
    if (this.#url === null) return null;
    const headers = new Headers({ "Content-Type": FRAGMENT });
    if (ifMatch !== null) headers.set("If-Match", ifMatch);
    return request(this.#url, { method: "PATCH", headers, body: fragment }, this.#token);
  }
}
