/** How many jobs are in each state: figures, and at the same time the way to their lists. */

import { byId, make } from "../dom.js";
import { addressOf, STATES } from "./address.js";
import { mark, stateWord } from "./marks.js";
import { age, count } from "./times.js";

/** @type {Map<string, {link: HTMLAnchorElement, figure: HTMLElement, detail: HTMLElement}>} */
const tiles = new Map();

/** @param {(state: string) => void} onChoose */
export function makeCounts(onChoose) {
  const items = ["", ...STATES].map((state) => {
    const figure = make("span", { className: "figure", textContent: "…" });
    const detail = make("span", { className: "note" });
    const name = make("span", { className: "count-name" }, mark(state || "all"), state ? stateWord(state) : "All");
    const link = make("a", { className: "count" }, name, figure, detail);
    link.dataset.state = state || "all";
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      onChoose(state);
    });
    tiles.set(state, { link, figure, detail });
    return make("li", {}, link);
  });
  byId("counts").replaceChildren(make("ul", {}, ...items));
}

/** @param {import("./address.js").View} view */
export function markChosen(view) {
  for (const [state, { link }] of tiles) {
    link.href = addressOf({ state, q: view.q, job: "" });
    if (state === view.state) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

/** @param {import("./admin-api.js").Overview} overview */
export function showCounts({ queue }) {
  const delayed = queue.delayed + queue.due;
  const all = queue.waiting + delayed + queue.running + queue.done + queue.error;
  set("", all, "");
  set("waiting", queue.waiting, queue.oldestWaitMs === null || !queue.waiting ? "" : `oldest ${age(queue.oldestWaitMs)}`);
  set("delayed", delayed, queue.due ? `${count(queue.due)} due` : "");
  set("running", queue.running, "");
  set("done", queue.done, "");
  set("error", queue.error, "");
}

/**
 * @param {string} state
 * @param {number} number
 * @param {string} detail
 */
function set(state, number, detail) {
  const tile = tiles.get(state);
  if (!tile) return;
  tile.figure.textContent = count(number);
  tile.detail.textContent = detail;
  tile.link.dataset.empty = String(number === 0);
}
