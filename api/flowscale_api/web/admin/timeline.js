/** What happened to the job, in order. Why it ended in error stands above it, and is not said again here. */

import { make } from "../dom.js";
import { timeOf, zone } from "./times.js";

/** @param {any} job */
export function timelineOf(job) {
  const entries = job.timeline ?? [];
  if (!entries.length) return null;
  const items = entries.map((/** @type {any} */ entry) => {
    const what = entry.what.charAt(0).toUpperCase() + entry.what.slice(1);
    const item = make("li", {}, timeOf(entry.at), make("span", { className: "what", textContent: what }));
    const detail = withoutWhatIsSaid(entry.detail ?? "", job.error?.message);
    if (detail) item.append(make("span", { className: "note", textContent: detail }));
    return item;
  });
  const title = make("div", { className: "panel-head" }, make("h2", { id: "timeline-title", textContent: "Timeline" }), make("p", { className: "note", textContent: zone() }));
  const card = make("section", { className: "card" }, title, make("ol", { className: "timeline" }, ...items));
  card.setAttribute("aria-labelledby", "timeline-title");
  return card;
}

/**
 * @param {string} detail
 * @param {string|undefined} said
 */
const withoutWhatIsSaid = (detail, said) => (said && detail.endsWith(`: ${said}`) ? detail.slice(0, -said.length - 2) : detail);
