/** The producer's microphone: callers with talkback and private callers hear it, and it hears them. */

import { Caller } from "./caller.js";
import { addProblems } from "./problem.js";

addProblems({
  "no-talkback": { temporary: false, title: "This server has no talkback", advice: "" },
  "rejected-token": { temporary: false, title: "The token was rejected", advice: "Sign out, then sign in again." },
  "second-producer": { temporary: true, title: "Another producer is connected", advice: "" },
});

/** @type {Record<number, string>} Kind of a problem by the status of the answer to the offer. */
const KINDS = { 401: "rejected-token", 404: "no-talkback", 409: "second-producer" };

export class Producer extends Caller {
  /** @protected @override @param {import("./problem.js").Problem} problem */
  async explain(problem) {
    problem.kind = KINDS[problem.status] ?? problem.kind;
  }
}
