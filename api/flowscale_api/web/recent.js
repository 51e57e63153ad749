/** The list of recent renders: the server's own record, so that a reload or another browser loses nothing. */

import * as api from "./api.js";
import { byId, make } from "./dom.js";
import { hasEnded } from "./follow.js";
import { ApiError } from "./http.js";
import { stateOf } from "./job-card.js";
import { nameOf } from "./names.js";
import { ago, duration as lengthInWords, fileSize } from "./words.js";

const PAGE = 10;
const MOST = 50;
const WHILE_BUSY_MS = 3000;
const WHILE_IDLE_MS = 30_000;

const STATE_WORDS = { queued: "Queued", running: "Rendering", done: "Done", error: "Failed", cancelled: "Cancelled" };

let limit = PAGE;
let timer = 0;
let round = 0;
let current = "";
/** @type {ReturnType<typeof newRow>[]} */
let rows = [];
/** @type {(job: api.Job) => void} */
let onOpen = () => {};

/** @param {api.Job} job */
function summaryOf(job) {
  const parts = [ago(Date.now() - Date.parse(job.createdAt))];
  if (job.status === "done" && job.durationMs !== undefined) parts.push(`took ${lengthInWords(job.durationMs / 1000)}`);
  if (job.status === "done" && job.outputSize !== undefined) parts.push(fileSize(job.outputSize));
  if (stateOf(job) === "error" && job.error) parts.push(job.error.message);
  return parts.join(" · ");
}

/** @param {api.Job} job */
function stateWords(job) {
  const words = STATE_WORDS[stateOf(job)] ?? job.status;
  return job.status === "running" && job.progressPct !== null ? `${words} ${job.progressPct} %` : words;
}

/**
 * One line of the list. It stays the same element while its job changes, so that neither a click nor the keyboard's
 * place is lost when the list is read again.
 * @param {api.Job} job
 */
function newRow(job) {
  const name = make("span", { className: "name" });
  const note = make("span", { className: "note" });
  const state = make("span", { className: "row-state" });
  const words = make("span", { className: "row-words" }, name, note);
  const button = make("button", { type: "button" }, make("span", { className: "dot" }), words, state);
  const row = { job, item: make("li", {}, button), button, name, note, state };
  button.addEventListener("click", () => onOpen(row.job));
  return row;
}

/**
 * @param {ReturnType<typeof newRow>} row
 * @param {api.Job} job
 */
function fill(row, job) {
  row.job = job;
  row.button.dataset.state = stateOf(job);
  row.name.textContent = nameOf(job);
  row.note.textContent = summaryOf(job);
  row.state.textContent = stateWords(job);
  markCurrent(row);
}

/** @param {ReturnType<typeof newRow>} row */
function markCurrent(row) {
  if (row.job.jobId === current) row.button.setAttribute("aria-current", "true");
  else row.button.removeAttribute("aria-current");
}

/** @param {api.Job[]} jobs */
function draw(jobs) {
  const known = new Map(rows.map((row) => [row.job.jobId, row]));
  const before = rows;
  rows = jobs.map((job) => known.get(job.jobId) ?? newRow(job));
  rows.forEach((row, index) => fill(row, jobs[index]));
  const moved = rows.length !== before.length || rows.some((row, index) => row !== before[index]);
  if (!moved) return;
  const focused = rows.find((row) => row.button === document.activeElement);
  byId("recent-list").replaceChildren(...rows.map((row) => row.item));
  focused?.button.focus();
}

/** @param {string} text */
function setNote(text) {
  byId("recent-note").textContent = text;
  byId("recent-note").hidden = text === "";
}

/** Read the list now, and again by itself: soon while something is under way, rarely otherwise. */
export async function refreshRecent() {
  clearTimeout(timer);
  round += 1;
  const mine = round;
  let wait = WHILE_IDLE_MS;
  try {
    const { jobs, nextCursor } = await api.jobs(limit);
    if (mine !== round) return; // a later reading is under way
    draw(jobs);
    setNote(jobs.length ? "" : "Nothing yet. What you render appears here.");
    byId("recent-more").hidden = !nextCursor || limit >= MOST;
    if (!jobs.every(hasEnded)) wait = WHILE_BUSY_MS;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (mine !== round) return;
    setNote(`The list cannot be shown: ${error.message}`);
  }
  timer = setTimeout(() => (document.hidden ? undefined : refreshRecent()), wait);
}

/** Mark the render the card shows. @param {string} jobId */
export function setCurrent(jobId) {
  current = jobId;
  rows.forEach(markCurrent);
}

/** @param {(job: api.Job) => void} open */
export function wireRecent(open) {
  onOpen = open;
  byId("recent-more").addEventListener("click", () => {
    limit = Math.min(MOST, limit + PAGE);
    void refreshRecent();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void refreshRecent();
  });
  void refreshRecent();
}
