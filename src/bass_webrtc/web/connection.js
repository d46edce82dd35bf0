/** One RTCPeerConnection with its HTTP session: opened once, restarted when the network changes, closed once. */

import { Problem } from "./problem.js";
import { applyRestart, buildFragment, isIceLite } from "./sdp.js";
import { Session } from "./session.js";

/** How long a path and the DTLS handshake may take after the answer, in ms. */
const CONNECT_TIMEOUT_MS = 15_000;
/** A direct path is found sooner than this; after it, relays that the answer told of are worth an ICE restart. */
const RELAY_AFTER_MS = 2_000;

/**
 * `ended`: the other side closed it, a restart cannot help. `failed`: no path, a restart may find another.
 * @typedef {"connected" | "disconnected" | "failed" | "ended"} ConnectionState
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {string | URL} endpoint
 * @property {string | null} token
 * @property {RTCIceServer[]} iceServers
 * @property {(pc: RTCPeerConnection) => void} prepare Adds the tracks. Called before anything waits, so that a media
 *   element may start playing inside the click that led here.
 * @property {(offer: string) => string} adaptOffer
 * @property {(answer: string) => string} adaptAnswer
 * @property {(state: ConnectionState) => void} onState
 */

/**
 * Those that this browser takes: one that it refuses (Firefox blocks some ports) would cost the whole connection.
 * @param {RTCIceServer[]} iceServers
 */
function usable(iceServers) {
  const takes = (/** @type {RTCIceServer[]} */ servers) => {
    try {
      new RTCPeerConnection({ iceServers: servers }).close();
      return true;
    } catch {
      return false;
    }
  };
  return iceServers.length === 0 || takes(iceServers) ? iceServers : iceServers.filter((server) => takes([server]));
}

export class Connection {
  #options;
  /** @type {Session | null} */
  #session = null;
  #answer = "";
  #closed = false;
  /** @type {string[]} Gathered, not yet told to the server. */
  #candidates = [];
  #gathered = false;
  #trickling = false;

  /** @param {ConnectionOptions} options */
  constructor(options) {
    this.#options = options;
    const pc = new RTCPeerConnection({ iceServers: usable(options.iceServers), bundlePolicy: "max-bundle" });
    this.pc = pc;
    options.prepare(pc);
    pc.addEventListener("icecandidate", (event) => this.#gather(event.candidate));
    pc.addEventListener("connectionstatechange", () => this.#report());
  }

  /** ICE servers that the session told of; the next connection has them from its beginning. */
  get iceServers() {
    return this.#session?.iceServers ?? [];
  }

  /** Resolves when media can flow; rejects with a `Problem`. */
  async open() {
    const { endpoint, token } = this.#options;
    const offer = await this.#describe({});
    const session = await Session.open(endpoint, offer, token);
    // The visitor may have left in the meantime: the session exists nevertheless, and has to be ended.
    if (this.#closed) session.close();
    else await this.#accept(session);
  }

  /**
   * Finds a new path for the running session (RFC 9725, 4.3.3).
   * @returns {Promise<boolean>} Whether the server went along; false asks for a new connection.
   */
  async restart() {
    if (this.#session === null) return false;
    try {
      this.#candidates = [];
      this.#gathered = false;
      this.#trickling = true; // Candidates wait for the restart's ETag.
      const reply = await this.#session.restart(buildFragment(await this.#describe({ iceRestart: true }), [], false));
      const answer = reply && applyRestart(this.#answer, reply);
      if (!answer) return false;
      await this.#apply(answer);
      this.#trickling = false;
      void this.#trickle();
      return true;
    } catch {
      return false;
    }
  }

  /** Ends the session and the connection; may be called at any time, also twice. */
  close() {
    this.#closed = true;
    this.#session?.close();
    this.pc.close();
  }

  /** @param {RTCOfferOptions} offerOptions @returns {Promise<string>} The local description. */
  async #describe(offerOptions) {
    const { sdp = "" } = await this.pc.createOffer(offerOptions);
    const offer = this.#options.adaptOffer(sdp);
    await this.pc.setLocalDescription({ type: "offer", sdp: offer });
    return this.pc.localDescription?.sdp ?? offer;
  }

  /** @param {Session} session */
  async #accept(session) {
    this.#session = session;
    const connected = this.#connected();
    try {
      await this.#apply(session.answer);
    } catch (error) {
      connected.catch(() => null);
      throw new Problem("unreadable", { detail: String(error) });
    }
    // A DTLS close from the server is told here, and only here, at once.
    const [{ sender, receiver }] = this.pc.getTransceivers();
    (receiver.transport ?? sender.transport)?.addEventListener("statechange", () => this.#report());
    void this.#trickle();
    this.#learnServers(session.iceServers);
    await connected;
  }

  /**
   * Takes the servers that came with the answer (RFC 9725, 4.6). Credentials of known servers wait for the next
   * gathering; servers that are new to this connection are asked only in a restart (RFC 9429, 4.1.18).
   * @param {RTCIceServer[]} iceServers
   */
  #learnServers(iceServers) {
    if (iceServers.length === 0) return;
    const urls = (/** @type {RTCIceServer[]} */ servers) => servers.flatMap((server) => server.urls);
    const known = new Set(urls(this.#options.iceServers));
    try {
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: usable(iceServers) });
    } catch {
      return; // A browser that cannot change them.
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

  #connected() {
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

  #report() {
    const [{ sender, receiver }] = this.pc.getTransceivers();
    const dtls = (receiver.transport ?? sender.transport)?.state;
    const state = dtls === "closed" ? "ended" : this.pc.connectionState;
    const told = ["connected", "disconnected", "failed", "ended"];
    if (!this.#closed && told.includes(state)) this.#options.onState(/** @type {ConnectionState} */ (state));
  }

  /** @param {RTCIceCandidate | null} candidate */
  #gather(candidate) {
    if (candidate?.candidate) this.#candidates.push(candidate.candidate);
    else this.#gathered = true;
    void this.#trickle();
  }

  /** Tells the server what was gathered: all that is there in one request, the next only after it was answered. */
  async #trickle() {
    // An ICE-lite server sends no checks of its own, so it needs no candidates.
    if (this.#session === null || this.#trickling || isIceLite(this.#answer)) return;
    this.#trickling = true;
    while (this.#candidates.length > 0) {
      const candidates = this.#candidates.splice(0);
      await this.#session.trickle(buildFragment(this.pc.localDescription?.sdp ?? "", candidates, this.#gathered));
    }
    this.#trickling = false;
  }
}
