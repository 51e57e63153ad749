/** What happened to the job, in order. */

import { make } from "../dom.js";
import { timeOf } from "./times.js";

const WORDS = {
  created: "Asked for",
  enqueued: "Asked for",
  queued: "Queued",
  started: "Started",
  running: "Started",
  delayed: "Waits for its next attempt",
  retried: "Queued again",
  due: "Due for its next attempt",
  failed: "Failed",
  stalled: "Its worker was lost",
  released: "Given back by its worker",
  cancelled: "Cancelled",
  done: "Done",
  error: "Failed",
  ended: "Ended",
};

/** @param {any} job */
export function timelineOf(job) {
  const entries = job.timeline ?? [];
  if (!entries.length) return null;
  const items = entries.map((/** @type {any} */ entry) => {
    const what = WORDS[/** @type {keyof WORDS} */ (entry.what)] ?? entry.what;
    const words = make("span", { className: "what", textContent: what });
    const item = make("li", {}, timeOf(entry.at), words);
    if (entry.detail) item.append(make("span", { className: "note", textContent: entry.detail }));
    return item;
  });
  const card = make("section", { className: "card" }, make("h2", { id: "timeline-title", textContent: "Timeline" }), make("ol", { className: "timeline" }, ...items));
  card.setAttribute("aria-labelledby", "timeline-title");
  return card;
}
