/** Who renders: each worker with its state, its job, how old its last report is and how long it is up. */

import { byId, make } from "../dom.js";
import { mark } from "./marks.js";
import { ageOf, count, serverNow } from "./times.js";

const SILENT_MS = 35_000; // a fleet reports every 10 s, each worker with its fleet
const NAME_SHOWN = 40;

/** @typedef {import("./admin-api.js").Worker} Worker */

/** @param {Worker} worker @returns {[string, string, string]} shape, word, and what is wrong */
function stateOf(worker) {
  if (worker.problem) return ["error", "Cannot render", worker.problem];
  if (worker.reportAgeMs > SILENT_MS) return ["stale", "Silent", "It does not report. It may be cut off, frozen or gone."];
  if (worker.jobs.length) return ["running", "Rendering", ""];
  return worker.able ? ["idle", "Idle", ""] : ["paused", "Not taking jobs", ""];
}

/**
 * @param {import("./admin-api.js").Overview} overview
 * @param {(jobId: string) => HTMLElement} linkTo
 */
export function showWorkers({ workers }, linkTo) {
  const place = byId("workers");
  const sum = (/** @type {(worker: Worker) => number} */ of) => count(workers.reduce((all, worker) => all + of(worker), 0));
  const places = `${sum((worker) => worker.jobs.length)} of ${sum((worker) => worker.slots)} places taken`;
  byId("workers-note").textContent = workers.length ? `${count(workers.length)} reporting · ${places}` : "";
  if (!workers.length) {
    place.replaceChildren(empty());
    return;
  }
  const focused = /** @type {HTMLElement|null} */ (document.activeElement)?.dataset.job;
  const list = make("ul", { className: "workers" }, ...workers.map((worker) => row(worker, linkTo)));
  list.setAttribute("aria-label", "Workers");
  if (workers.length > 6) list.tabIndex = 0; // it scrolls, for the keyboard too
  const scrolled = place.firstElementChild?.scrollTop ?? 0;
  place.replaceChildren(list);
  list.scrollTop = scrolled;
  if (focused) /** @type {HTMLElement|undefined} */ ([...list.querySelectorAll("a")].find((link) => link.dataset.job === focused))?.focus();
}

function empty() {
  const command = make("code", { textContent: "flowscale worker" });
  return make("p", { className: "empty" }, "No worker reports. Jobs wait until one starts: run ", command, ", or look at the operator.");
}

/**
 * @param {Worker} worker
 * @param {(jobId: string) => HTMLElement} linkTo
 */
function row(worker, linkTo) {
  const [shape, word, problem] = stateOf(worker);
  const name = worker.worker.length > NAME_SHOWN ? `${worker.worker.slice(0, NAME_SHOWN)}…` : worker.worker;
  const facts = make("span", { className: "note" }, "heard ", ageOf(serverNow() - worker.reportAgeMs, "ago"));
  if (worker.startedAt) facts.append(" · up ", ageOf(Date.parse(worker.startedAt)));
  if (worker.slots > 1) facts.append(` · ${worker.slots} at once`);
  if (worker.ffmpegVersion) facts.append(` · FFmpeg ${worker.ffmpegVersion.split("-")[0]}`);
  const state = make("span", { className: "state" }, mark(shape), word);
  state.dataset.state = shape;
  const item = make(
    "li",
    {},
    make("span", { className: "worker-name", textContent: name, title: worker.worker }),
    state,
    facts,
  );
  if (worker.jobs.length) item.append(make("p", { className: "worker-jobs" }, "renders ", ...worker.jobs.flatMap((jobId) => [linkTo(jobId), " "])));
  if (problem) item.append(make("p", { className: "fault", textContent: problem }));
  return item;
}
