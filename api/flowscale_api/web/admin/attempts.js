/** What was tried: each execution that ended, with the last lines of its log, and its error where it is not the job's. */

import { make } from "../dom.js";
import { duration } from "../words.js";
import { mark } from "./marks.js";
import { timeOf } from "./times.js";

/** @param {any} job */
export function attemptsOf(job) {
  const attempts = job.attempts ?? [];
  if (!attempts.length) return null;
  const title = make("h2", { id: "attempts-title", textContent: attempts.length === 1 ? "1 attempt" : `${attempts.length} attempts` });
  const list = make("ol", { className: "attempts" }, ...attempts.toReversed().map((/** @type {any} */ attempt) => attemptOf(attempt, job.error?.message)));
  const card = make("section", { className: "card" }, title, list);
  card.setAttribute("aria-labelledby", "attempts-title");
  return card;
}

/**
 * @param {any} attempt
 * @param {string|undefined} said why the job ended, which stands above
 */
function attemptOf(attempt, said) {
  const shape = attempt.code === null || attempt.code === undefined ? "done" : attempt.code === "CANCELLED" ? "cancelled" : "error";
  const state = make("span", { className: "state" }, mark(shape), shape === "done" ? "Succeeded" : attempt.code);
  state.dataset.state = shape;
  const took = duration((Date.parse(attempt.endedAt) - Date.parse(attempt.startedAt)) / 1000);
  const item = make(
    "li",
    {},
    make("p", { className: "attempt-head" }, make("strong", { textContent: `No. ${attempt.number}` }), state),
    make("p", { className: "note" }, timeOf(attempt.startedAt), ` · took ${took} · ${attempt.worker}`),
  );
  if (attempt.message && attempt.message !== said) item.append(make("p", { className: "attempt-message", textContent: attempt.message }));
  if (attempt.logsTail?.length) item.append(tail(attempt));
  return item;
}

/** @param {any} attempt */
function tail(attempt) {
  const lines = make("pre", { tabIndex: 0, textContent: attempt.logsTail.join("\n") });
  lines.setAttribute("role", "region");
  lines.setAttribute("aria-label", `Log of attempt ${attempt.number}`);
  const details = make("details", { id: `attempt-${attempt.number}` }, make("summary", { textContent: "End of its log" }), lines);
  if (attempt.code) details.open = true;
  return details;
}
