/** The list of jobs: one page of it at a time, of any number. It stays the same element for element while it is read again. */

import { byId, make } from "../dom.js";
import { ApiError } from "../http.js";
import { duration } from "../words.js";
import * as api from "./admin-api.js";
import { addressOf } from "./address.js";
import { faultPanel } from "./advice.js";
import { mark, stateOf, stateWord } from "./marks.js";
import { ageOf, count } from "./times.js";

const COLUMNS = ["State", "Job", "Project", "Created", "Time", "Tries", "Details"];

/** @typedef {import("./admin-api.js").JobRow} JobRow */

/** @type {Map<string, ReturnType<typeof newRow>>} */
let rows = new Map();
/** @type {import("./address.js").View} */
let view = { state: "", q: "", job: "" };
/** Cursors of the pages from the second to the one shown. @type {string[]} */
let trail = [];
let nextCursor = "";
let round = 0;
let reading = false;
let readAgain = false;
/** @type {(jobId: string) => void} */
let onOpen = () => {};
/** @type {(trail: string[]) => void} */
let onTurn = () => {};

/** Whether something in the list moves, so that it must be read again by itself. */
export const isMoving = () => [...rows.values()].some(({ state }) => state === "running");

/**
 * @param {import("./address.js").View} wanted
 * @param {string[]} pages
 */
export async function showJobs(wanted, pages) {
  const isOther = wanted.state !== view.state || wanted.q !== view.q || pages.join() !== trail.join();
  view = wanted;
  trail = pages;
  if (isOther || !rows.size) byId("jobs").setAttribute("aria-busy", "true");
  if (!byId("jobs").hasChildNodes()) byId("jobs").replaceChildren(skeleton());
  await read();
}

/** Read the same page again. What is asked while it is being read is asked once, after it. */
export async function refreshJobs() {
  if (reading) readAgain = true;
  else await read();
}

async function read() {
  round += 1;
  const mine = round;
  reading = true;
  try {
    const answer = await api.jobs(view, trail.at(-1) ?? "");
    if (mine === round) draw(answer);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (mine === round) fail(error);
  }
  if (mine !== round) return; // another reading has begun meanwhile, and goes on by itself
  reading = false;
  if (!readAgain) return;
  readAgain = false;
  await read();
}

/** @param {ApiError} error */
function fail(error) {
  rows = new Map();
  byId("jobs").setAttribute("aria-busy", "false");
  byId("jobs").replaceChildren(faultPanel(error, () => void read()));
  byId("jobs-total").textContent = "";
  byId("pager").hidden = true;
}

/** @param {{jobs: JobRow[], nextCursor: string|null, total: number}} answer */
function draw({ jobs, nextCursor: next, total }) {
  nextCursor = next ?? "";
  byId("jobs").setAttribute("aria-busy", "false");
  byId("jobs-total").textContent = totalWords(total);
  drawPager(jobs.length, total);
  if (!jobs.length) {
    rows = new Map();
    byId("jobs").replaceChildren(emptiness());
    return;
  }
  const before = rows;
  rows = new Map(jobs.map((job) => [job.jobId, before.get(job.jobId) ?? newRow(job)]));
  jobs.forEach((job) => fill(/** @type {ReturnType<typeof newRow>} */ (rows.get(job.jobId)), job));
  const body = byId("jobs").querySelector("tbody") ?? frame();
  const elements = [...rows.values()].map((row) => row.element);
  const isSame = body.children.length === elements.length && elements.every((element, index) => element === body.children[index]);
  if (isSame) return;
  const focused = document.activeElement;
  body.replaceChildren(...elements);
  if (focused instanceof HTMLElement && body.contains(focused)) focused.focus({ preventScroll: true });
}

/** @param {number} total */
function totalWords(total) {
  const what = view.state ? stateWord(view.state).toLowerCase() : "";
  const jobs = `${count(total)} ${what ? `${what} ` : ""}${total === 1 ? "job" : "jobs"}`;
  return view.q ? `${jobs} ${total === 1 ? "matches" : "match"}` : jobs;
}

/**
 * @param {number} shown
 * @param {number} total
 */
function drawPager(shown, total) {
  byId("pager").hidden = !trail.length && !nextCursor;
  const first = trail.length * api.PAGE_OF_JOBS + 1;
  byId("pager-words").textContent = shown ? `${count(first)} to ${count(first + shown - 1)} of ${count(total)}` : "No more";
  byId("pager-first").disabled = byId("pager-newer").disabled = !trail.length;
  byId("pager-older").disabled = !nextCursor;
}

function frame() {
  const heads = COLUMNS.map((name) => {
    const head = make("th", { scope: "col", textContent: name });
    head.setAttribute("role", "columnheader");
    return head;
  });
  const part = (/** @type {string} */ tag, /** @type {string} */ role, /** @type {Node[]} */ ...children) => {
    const element = make(tag, {}, ...children);
    element.setAttribute("role", role); // a small screen lays rows out as cards, which would end the table's meaning
    return element;
  };
  const body = part("tbody", "rowgroup");
  const caption = make("caption", { className: "unseen", textContent: "Jobs, newest first" });
  byId("jobs").replaceChildren(part("table", "table", caption, part("thead", "rowgroup", part("tr", "row", ...heads)), body));
  return body;
}

function skeleton() {
  const lines = Array.from({ length: 8 }, () => make("div", { className: "skeleton" }));
  return make("div", {}, make("p", { className: "unseen", textContent: "Loading jobs" }), ...lines);
}

function emptiness() {
  const panel = make("div", { className: "empty" });
  if (view.q) {
    panel.append(make("p", { textContent: `No ${view.state ? `${stateWord(view.state).toLowerCase()} ` : ""}job matches “${view.q}”.` }));
    panel.append(make("p", { className: "note", textContent: "Every word must be the beginning of an id, a project, a word of the label, or an error code." }));
  } else if (view.state) {
    panel.append(make("p", { textContent: `No job is ${stateWord(view.state).toLowerCase()}.` }));
  } else {
    panel.append(make("p", { textContent: "No jobs yet." }));
    panel.append(make("p", { className: "note", textContent: "A job appears here as soon as a render is asked for." }));
  }
  return panel;
}

/** @param {JobRow} job */
function newRow(job) {
  const link = make("a", { className: "job-link" });
  link.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    onOpen(job.jobId);
  });
  const cells = COLUMNS.map((name) => {
    const cell = make("td", { className: `cell-${name.toLowerCase()}` });
    cell.setAttribute("role", "cell");
    return cell;
  });
  const id = make("span", { className: "job-id", textContent: job.jobId });
  cells[1].append(link, id);
  const element = make("tr", {}, ...cells);
  element.setAttribute("role", "row");
  return { element, cells, link, state: "", said: "" };
}

/**
 * @param {ReturnType<typeof newRow>} row
 * @param {JobRow} job
 */
function fill(row, job) {
  row.link.href = addressOf({ ...view, job: job.jobId });
  const said = JSON.stringify(job);
  if (said === row.said) return;
  row.said = said;
  row.state = job.state;
  const state = stateOf(job);
  const [stateCell, , project, created, time, tries, details] = row.cells;
  row.element.dataset.state = state;
  stateCell.replaceChildren(stateElement(job));
  row.link.textContent = job.label || "Untitled";
  project.textContent = job.projectId ?? "";
  created.replaceChildren(ageOf(Date.parse(job.createdAt), "ago"));
  time.replaceChildren(...timeWords(job));
  tries.textContent = job.attempts ? String(job.attempts) : "";
  details.replaceChildren(...detailsOf(job));
  details.title = job.error?.message ?? "";
}

/** Who renders it, or why it failed. @param {JobRow} job @returns {Node[]} */
function detailsOf(job) {
  if (job.worker) return [make("p", { className: "on-worker", textContent: `on ${job.worker}` })];
  if (!job.error || stateOf(job) === "cancelled") return [];
  return [make("p", { className: "why" }, make("strong", { className: "code", textContent: job.error.code }), ` ${job.error.message}`)];
}

/** @param {JobRow} job */
function stateElement(job) {
  const state = stateOf(job);
  const words = job.state === "running" && job.progressPct !== null ? `${stateWord(state)} ${job.progressPct} %` : stateWord(state);
  const element = make("span", { className: "state" }, mark(state), words);
  element.dataset.state = state;
  return element;
}

/** @param {JobRow} job @returns {(Node|string)[]} */
function timeWords(job) {
  if (job.state === "running" && job.startedAt) return [ageOf(Date.parse(job.startedAt), "so far")];
  if (job.completedAt && job.startedAt) {
    return [`took ${duration(Math.max(0, Date.parse(job.completedAt) - Date.parse(job.startedAt)) / 1000)}`];
  }
  if (job.queuePosition) return [job.queuePosition === 1 ? "next" : `${count(job.queuePosition)} in line`];
  return job.priority !== "normal" ? [`${job.priority} priority`] : [];
}

/**
 * @param {(jobId: string) => void} open
 * @param {(trail: string[]) => void} turn to another page
 */
export function wireJobs(open, turn) {
  onOpen = open;
  onTurn = turn;
  byId("pager-first").addEventListener("click", () => onTurn([]));
  byId("pager-newer").addEventListener("click", () => onTurn(trail.slice(0, -1)));
  byId("pager-older").addEventListener("click", () => nextCursor && onTurn([...trail, nextCursor]));
}
