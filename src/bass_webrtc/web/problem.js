/** What can go wrong, whether it may pass by itself, and how the page says it. */

/**
 * @typedef {object} Words
 * @property {string} title One short sentence: what is the matter.
 * @property {string} advice What it means, or what to do.
 */

/** Longest wait that a server's Retry-After is believed, in seconds. */
const LONGEST_RETRY_AFTER_S = 60;

/** @type {Record<string, { passes: boolean, title: string, advice: string }>} */
const PROBLEMS = {
  offline: { passes: true, title: "You are offline.", advice: "The sound comes back when your network does." },
  network: { passes: true, title: "The server does not answer.", advice: "It may be restarting." },
  unreachable: {
    passes: true,
    title: "No sound gets through.",
    advice: "The server answered, but a firewall or network on the way seems to block UDP.",
  },
  lost: { passes: true, title: "The connection was lost.", advice: "" },
  full: { passes: true, title: "The server is full.", advice: "All places are taken." },
  "no-programme": { passes: true, title: "Nothing is on air.", advice: "The server has no programme at the moment." },
  hurried: { passes: true, title: "Too many attempts.", advice: "The server asks for a pause." },
  broken: { passes: true, title: "The server has a fault.", advice: "" },
  unauthorized: {
    passes: false,
    title: "This server asks for a token.",
    advice: "Press the button again to enter it.",
  },
  forbidden: { passes: false, title: "The server turned you away.", advice: "" },
  missing: { passes: false, title: "There is no programme at this address.", advice: "" },
  refused: { passes: false, title: "The server refused the connection.", advice: "" },
  unreadable: { passes: false, title: "The server's answer makes no sense.", advice: "" },
  unsupported: {
    passes: false,
    title: "This browser cannot play live sound.",
    advice: "WebRTC is missing or switched off. A current Firefox, Chrome, Edge or Safari can.",
  },
  blocked: { passes: false, title: "Your browser holds the sound back.", advice: "Press the button once more." },
};

/** A failure that the page can put into words. */
export class Problem extends Error {
  /**
   * @param {string} kind A key of the table above.
   * @param {object} [facts]
   * @param {number} [facts.status] HTTP status; 0 when there was no answer.
   * @param {string} [facts.detail] What the server said, for people.
   * @param {number | null} [facts.retryAfterS] Wait that the server asked for, in seconds.
   */
  constructor(kind, { status = 0, detail = "", retryAfterS = null } = {}) {
    super(detail || kind);
    this.kind = kind;
    this.status = status;
    this.detail = detail;
    this.retryAfterS = retryAfterS;
    /** @type {number | null} How many are connected, when the server is full and says so. */
    this.listeners = null;
  }

  /** Whether trying again later can help. */
  get passes() {
    return PROBLEMS[this.kind].passes;
  }

  /** @returns {Words} */
  get words() {
    const { title, advice } = PROBLEMS[this.kind];
    if (this.kind === "full" && this.listeners !== null) {
      const listeners = this.listeners === 1 ? "1 listener is" : `${this.listeners} listeners are`;
      return { title, advice: `${listeners} connected, so all places are taken.` };
    }
    return { title, advice: advice || sentence(this.detail) };
  }
}

/** Adds kinds of another part of the page. @param {typeof PROBLEMS} more */
export const addProblems = (more) => Object.assign(PROBLEMS, more);

/** @param {string} text A server's words as one sentence. */
function sentence(text) {
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
 * The kind of a refused request. Codes without a meaning of their own fall back to their class (RFC 9725, 4.1).
 * @param {number} status
 */
function kindOf(status) {
  return KIND_OF_STATUS.get(status) ?? (status >= 500 ? "broken" : "refused");
}

/**
 * Retry-After in either of its two forms (RFC 9110, 10.2.3).
 * @param {string | null} header
 */
function retryAfterS(header) {
  if (header === null) return null;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), LONGEST_RETRY_AFTER_S) : null;
}

/** @param {Response} response A refusal, with problem details (RFC 9457) or without. */
export async function problemOf(response) {
  const isJson = /[/+]json\b/i.test(response.headers.get("Content-Type") ?? "");
  const body = isJson ? await response.json().catch(() => null) : null;
  return new Problem(kindOf(response.status), {
    status: response.status,
    detail: String(body?.detail ?? body?.title ?? ""),
    retryAfterS: retryAfterS(response.headers.get("Retry-After")),
  });
}
