/** An RTCPeerConnection and its HTTP session: opened once, restarted (ICE) when the network changes, closed once. */

import { Problem } from "./problem.js";
import { applyRestart, buildFragment, isIceLite } from "./sdp.js";
import { Session } from "./session.js";

/** Time for ICE and the DTLS handshake after the answer, in ms. */
const CONNECT_TIMEOUT_MS = 15_000;
/** A direct path is found sooner, in ms; after this, restart ICE to use the relays named in the answer. */
const RELAY_AFTER_MS = 2_000;

/**
 * `ended`: the server closed the connection, so a restart cannot help. `failed`: no path; a restart may find one.
 * @typedef {"connected" | "disconnected" | "failed" | "ended"} ConnectionState
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {string | URL} endpoint
 * @property {string | null} token
 * @property {RTCIceServer[]} iceServers
 * @property {(pc: RTCPeerConnection) => void} prepare Adds the tracks. Called synchronously from the constructor, so
 *   that a media element may start playing within the user's click.
 * @property {(offer: string) => string} adaptOffer
 * @property {(answer: string) => string} adaptAnswer
 * @property {(state: ConnectionState) => void} onState
 */

/**
 * The servers that this browser accepts. A single rejected one (Firefox blocks some ports) would fail the connection.
 * @param {RTCIceServer[]} iceServers
 */
function acceptedServers(iceServers) {
  const accepts = (/** @type {RTCIceServer[]} */ servers) => {
    try {
      new RTCPeerConnection({ iceServers: servers }).close();
      return true;
    } catch {
      return false;
    }
  };
  return iceServers.length === 0 || accepts(iceServers) ? iceServers : iceServers.filter((server) => accepts([server]));
}

export class Connection {
  #options;
  /** @type {Session | null} */
  #session = null;
  /** @type {Promise<void> | undefined} */
  #opening;
  #answer = "";
  #closed = false;
  /** @type {string[]} Gathered but not yet sent to the server. */
  #candidates = [];
  #gathered = false;
  #trickling = false;
  /** @type {Promise<boolean | null> | null} */
  #restarting = null;

  /** @param {ConnectionOptions} options */
  constructor(options) {
    this.#options = options;
    const pc = new RTCPeerConnection({ iceServers: acceptedServers(options.iceServers), bundlePolicy: "max-bundle" });
    this.pc = pc;
    options.prepare(pc);
    pc.addEventListener("icecandidate", (event) => this.#addCandidate(event.candidate));
    pc.addEventListener("connectionstatechange", () => this.#reportState());
  }

  /** ICE servers that the session named; the next connection starts with them. */
  get iceServers() {
    return this.#session?.iceServers ?? [];
  }

  /** Resolves when media can flow; rejects with a `Problem`. */
  open() {
    this.#opening = this.#open();
    return this.#opening;
  }

  async #open() {
    const { endpoint, token } = this.#options;
    const offer = await this.#createOffer({});
    const session = await Session.open(endpoint, offer, token);
    // If the user has stopped meanwhile, the session exists on the server and must be ended.
    if (this.#closed) await session.close();
    else await this.#acceptAnswer(session);
  }

  /**
   * Restarts ICE to find a new path for the running session (RFC 9725, 4.3.3).
   * @returns {Promise<boolean | null>} Whether the server accepted; if not, a new connection is needed. null: it could
   *   not be asked.
   */
  async restart() {
    this.#restarting ??= this.#restart().finally(() => (this.#restarting = null));
    return this.#restarting;
  }

  async #restart() {
    if (this.#session === null) return false;
    try {
      this.#candidates = [];
      this.#gathered = false;
      this.#trickling = true; // Hold candidates back until the restart's ETag arrives.
      const offer = await this.#createOffer({ iceRestart: true });
      const reply = await this.#session.restart(buildFragment(offer, [], false));
      const answer = reply && applyRestart(this.#answer, reply);
      if (!answer) return false;
      await this.#apply(answer);
      this.#trickling = false;
      void this.#trickle();
      return true;
    } catch (error) {
      return error instanceof Problem && error.status === 0 ? null : false;
    }
  }

  /**
   * Asks the server for the session's state.
   * @returns {Promise<Response | null>} null without a session; rejects with a `Problem` without an answer.
   */
  async readSession() {
    return this.#session?.read() ?? null;
  }

  /**
   * Ends the session and the connection. Idempotent; may be called at any time.
   * @returns {Promise<void>} Resolves when the server has ended the session, or cannot be asked.
   */
  async close() {
    this.#closed = true;
    this.pc.close();
    await (this.#session?.close() ?? this.#opening?.catch(() => undefined));
  }

  /** @param {RTCOfferOptions} offerOptions @returns {Promise<string>} The local description. */
  async #createOffer(offerOptions) {
    const { sdp = "" } = await this.pc.createOffer(offerOptions);
    const offer = this.#options.adaptOffer(sdp);
    await this.pc.setLocalDescription({ type: "offer", sdp: offer });
    return this.pc.localDescription?.sdp ?? offer;
  }

  /** @param {Session} session */
  async #acceptAnswer(session) {
    this.#session = session;
    const connected = this.#waitUntilConnected();
    try {
      await this.#apply(session.answer);
    } catch (error) {
      connected.catch(() => null);
      throw new Problem("unreadable", { detail: String(error) });
    }
    // Only the DTLS transport reports a close by the server immediately.
    const [{ sender, receiver }] = this.pc.getTransceivers();
    (receiver.transport ?? sender.transport)?.addEventListener("statechange", () => this.#reportState());
    void this.#trickle();
    this.#updateIceServers(session.iceServers);
    await connected;
  }

  /**
   * Configures the servers that came with the answer (RFC 9725, 4.6). New credentials of known servers are used in the
   * next gathering; new servers are contacted only after an ICE restart (RFC 9429, 4.1.18).
   * @param {RTCIceServer[]} iceServers
   */
  #updateIceServers(iceServers) {
    if (iceServers.length === 0) return;
    const urls = (/** @type {RTCIceServer[]} */ servers) => servers.flatMap((server) => server.urls);
    const known = new Set(urls(this.#options.iceServers));
    try {
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: acceptedServers(iceServers) });
    } catch {
      return; // This browser cannot change the servers of a connection.
    }
    if (urls(iceServers).every((url) => known.has(url))) return;
    setTimeout(() => {
      if (!this.#closed && this.pc.connectionState !== "connected") void this.restart();
    }, RELAY_AFTER_MS);
  }

  /** @param {string} answer */
  async #apply(answer) {
    await this.pc.setRemoteDescription({ type: "answer", sdp: this.#options.adaptAnswer(answer) });
    this.#answer = answer;
  }

  #waitUntilConnected() {
    return new Promise((resolve, reject) => {
      const settle = () => {
        const { connectionState } = this.pc;
        if (connectionState === "connected") resolve(undefined);
        else if (connectionState === "failed") reject(new Problem("unreachable"));
      };
      this.pc.addEventListener("connectionstatechange", settle);
      setTimeout(() => reject(new Problem("unreachable")), CONNECT_TIMEOUT_MS);
    });
  }

  #reportState() {
    const [{ sender, receiver }] = this.pc.getTransceivers();
    const dtls = (receiver.transport ?? sender.transport)?.state;
    const state = dtls === "closed" ? "ended" : this.pc.connectionState;
    const reported = ["connected", "disconnected", "failed", "ended"];
    if (!this.#closed && reported.includes(state)) this.#options.onState(/** @type {ConnectionState} */ (state));
  }

  /** @param {RTCIceCandidate | null} candidate */
  #addCandidate(candidate) {
    if (candidate?.candidate) this.#candidates.push(candidate.candidate);
    else this.#gathered = true;
    void this.#trickle();
  }

  /** Sends the gathered candidates to the server, one request at a time, each with all that are waiting. */
  async #trickle() {
    // An ICE-lite server sends no checks, so it needs no candidates.
    if (this.#session === null || this.#trickling || isIceLite(this.#answer)) return;
    this.#trickling = true;
    while (this.#candidates.length > 0) {
      const candidates = this.#candidates.splice(0);
      await this.#session.trickle(buildFragment(this.pc.localDescription?.sdp ?? "", candidates, this.#gathered));
    }
    this.#trickling = false;
  }
}
