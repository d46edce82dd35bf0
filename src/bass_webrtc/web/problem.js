/** Problems that can occur, whether they are temporary, and their texts. */

/**
 * @typedef {object} Words
 * @property {string} title What is wrong, in a few words.
 * @property {string} advice Explanation, or what to do.
 */

/** Upper limit for Retry-After, in seconds. */
const MAX_RETRY_AFTER_S = 60;

/** @type {Record<string, { temporary: boolean, title: string, advice: string }>} */
const PROBLEMS = {
  offline: { temporary: true, title: "You are offline", advice: "The page reconnects when your network is back." },
  network: { temporary: true, title: "The server does not answer", advice: "It may be restarting." },
  unreachable: {
    temporary: true,
    title: "No audio connection",
    advice: "The server answered, but a firewall or network on the path seems to block UDP.",
  },
  lost: { temporary: true, title: "Connection lost", advice: "" },
  full: { temporary: true, title: "The server is full", advice: "No slots are free." },
  "no-programme": { temporary: true, title: "Nothing is on air", advice: "The server has no programme at the moment." },
  hurried: { temporary: true, title: "The server limits your address", advice: "" },
  broken: { temporary: true, title: "Internal server error", advice: "" },
  unauthorized: {
    temporary: false,
    title: "This server requires a token",
    advice: "Press the button again to enter it.",
  },
  forbidden: { temporary: false, title: "Access denied", advice: "" },
  missing: { temporary: false, title: "No programme at this address", advice: "" },
  "no-channel": { temporary: false, title: "There is no such channel", advice: "" },
  refused: { temporary: false, title: "The server refused the connection", advice: "" },
  unreadable: { temporary: false, title: "Invalid answer from the server", advice: "" },
  unsupported: {
    temporary: false,
    title: "WebRTC is not available",
    advice: "It is missing or disabled. Use a current Firefox, Chrome, Edge or Safari.",
  },
  blocked: { temporary: false, title: "Playback blocked", advice: "Press the button again." },
};

/** A failure with a text for the user. */
export class Problem extends Error {
  /**
   * @param {string} kind A key of the table above.
   * @param {object} [facts]
   * @param {number} [facts.status] HTTP status; 0 when there was no answer.
   * @param {string} [facts.detail] Human-readable explanation from the server.
   * @param {number | null} [facts.retryAfterS] Wait requested by the server, in seconds.
   */
  constructor(kind, { status = 0, detail = "", retryAfterS = null } = {}) {
    super(detail || kind);
    this.kind = kind;
    this.status = status;
    this.detail = detail;
    this.retryAfterS = retryAfterS;
    /** @type {number | null} Number of connected listeners, if the server is full and reports it. */
    this.listeners = null;
  }

  /** Whether a retry may succeed. */
  get temporary() {
    return PROBLEMS[this.kind].temporary;
  }

  /** @returns {Words} */
  get words() {
    const { title, advice } = PROBLEMS[this.kind];
    if (this.kind === "full" && this.listeners !== null) {
      const listeners = this.listeners === 1 ? "1 listener is" : `${this.listeners} listeners are`;
      return { title, advice: `${listeners} connected; no slots are free.` };
    }
    return { title, advice: advice || sentence(this.detail) };
  }
}

/** Adds the problem kinds of another module. @param {typeof PROBLEMS} more */
export const addProblems = (more) => Object.assign(PROBLEMS, more);

/** Formats a server's message as a sentence. @param {string} text */
export function sentence(text) {
  const tidy = text.trim().slice(0, 200);
  return tidy === "" ? "" : tidy[0].toUpperCase() + tidy.slice(1) + (/[.!?]$/.test(tidy) ? "" : ".");
}

const KIND_OF_STATUS = new Map([
  [401, "unauthorized"],
  [403, "forbidden"],
  [404, "missing"],
  [409, "no-programme"],
  [429, "hurried"],
  [503, "full"],
]);

/**
 * Problem kind of an HTTP status. Unknown codes are treated by their class (RFC 9725, 4.1).
 * @param {number} status
 */
function kindOf(status) {
  return KIND_OF_STATUS.get(status) ?? (status >= 500 ? "broken" : "refused");
}

/**
 * Parses Retry-After in either form, seconds or a date (RFC 9110, 10.2.3).
 * @param {string | null} header
 */
function retryAfterS(header) {
  if (header === null) return null;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), MAX_RETRY_AFTER_S) : null;
}

/** Makes a problem of an error response, with or without problem details (RFC 9457). @param {Response} response */
export async function problemOf(response) {
  const isJson = /[/+]json\b/i.test(response.headers.get("Content-Type") ?? "");
  const body = isJson ? await response.json().catch(() => null) : null;
  return new Problem(kindOf(response.status), {
    status: response.status,
    detail: String(body?.detail ?? body?.title ?? ""),
    retryAfterS: retryAfterS(response.headers.get("Retry-After")),
  });
}
