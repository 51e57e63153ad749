/** What happened to the job, in order. */

import { make } from "../dom.js";
import { timeOf } from "./times.js";

/** @param {any} job */
export function timelineOf(job) {
  const entries = job.timeline ?? [];
  if (!entries.length) return null;
  const items = entries.map((/** @type {any} */ entry) => {
    const what = entry.what.charAt(0).toUpperCase() + entry.what.slice(1);
    const words = make("span", { className: "what", textContent: what });
    const item = make("li", {}, timeOf(entry.at), words);
    if (entry.detail) item.append(make("span", { className: "note", textContent: entry.detail }));
    return item;
  });
  const card = make("section", { className: "card" }, make("h2", { id: "timeline-title", textContent: "Timeline" }), make("ol", { className: "timeline" }, ...items));
  card.setAttribute("aria-labelledby", "timeline-title");
  return card;
}
