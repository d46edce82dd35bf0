/** The desk's HTTP API. Each call rejects with a `Problem`. */

import { problemOf } from "./problem.js";
import { request } from "./session.js";

/**
 * @typedef {object} Network
 * @property {number | null} round_trip_ms
 * @property {number | null} fraction_lost
 * @property {number} packets_lost
 * @property {number} jitter_ms
 * @property {number} buffer_ms
 * @property {number} concealed_s
 * @property {number} bitrate_kbps
 */

/**
 * @typedef {object} Call
 * @property {number} id
 * @property {string} name
 * @property {"waiting" | "on_air" | "private"} state
 * @property {number} gain Factor, 0 to 4.
 * @property {boolean} muted
 * @property {boolean} talkback
 * @property {number} return_gain
 * @property {number | null} level_dbfs null is silence.
 * @property {number} seconds
 * @property {boolean} recording
 * @property {string} invite
 * @property {Network} network
 */

/**
 * @typedef {object} Desk
 * @property {number | null} programme_dbfs
 * @property {boolean} producer_connected
 * @property {number} listeners
 * @property {number} peak_listeners
 * @property {[number, number][]} history Unix time in s, and listeners.
 * @property {"waiting" | "on_air"} initial_state
 * @property {boolean} invite_required
 * @property {boolean} recording
 * @property {boolean} can_record
 */

/**
 * @typedef {object} Invite
 * @property {string} id
 * @property {string} name
 * @property {string} [url] Only in the answer to its creation.
 * @property {number} uses_left
 * @property {number} expires_at Unix time in s.
 */

export class DeskApi {
  #base;
  #token;

  /** @param {string | URL} base `/api/`. @param {() => string | null} token */
  constructor(base, token) {
    this.#base = base;
    this.#token = token;
  }

  /** @param {number} id @param {Partial<Call>} changes @returns {Promise<Call>} */
  changeCall(id, changes) {
    return this.#send("PATCH", `calls/${id}`, changes);
  }

  /** @param {number} id */
  async hangUp(id) {
    await this.#send("DELETE", `calls/${id}`);
  }

  /** @param {{ recording: boolean }} changes @returns {Promise<Desk>} */
  changeDesk(changes) {
    return this.#send("PATCH", "desk", changes);
  }

  /** @param {{ name?: string, uses?: number, expires_s?: number }} wishes @returns {Promise<Invite>} */
  makeInvite(wishes) {
    return this.#send("POST", "invites", wishes);
  }

  /** @param {string} id */
  async revokeInvite(id) {
    await this.#send("DELETE", `invites/${encodeURIComponent(id)}`);
  }

  /** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
  async #send(method, path, body) {
    const init =
      body === undefined
        ? { method }
        : { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const response = await request(new URL(path, this.#base), init, this.#token());
    if (!response.ok) throw await problemOf(response);
    return response.status === 204 ? null : response.json();
  }
}
