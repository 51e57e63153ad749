/**
 * The card that shows one render, from its upload to its end. What it shows is a function of the last thing it was
 * told; it asks nothing of the server itself.
 */

import { hasEnded } from "./follow.js";
import { announce, byId, make } from "./dom.js";
import { nameOf } from "./names.js";
import { clearResult, showResult, wireResult } from "./result.js";
import { elapsed, fileSize } from "./words.js";

const LINES_SHOWN = 200;
const ANNOUNCED_EVERY = 25; // percent

const card = byId("job");
const bar = byId("job-progress");
const lines = byId("job-log-lines");

/** @type {import("./api.js").Job|null} */
let shown = null;
let percent = 0;
let announced = 0;
let cancelling = false;

/** A job's state as people name it: the contract's four, and cancelled. @param {import("./api.js").Job} job */
export function stateOf(job) {
  return job.error?.code === "CANCELLED" ? "cancelled" : job.status;
}

/** Show the card anew, for one render. @param {string} name */
export function openCard(name) {
  shown = null;
  percent = announced = 0;
  cancelling = false;
  byId("job-name").textContent = name;
  lines.textContent = "";
  byId("job-log").hidden = true;
  byId("job-log").open = false;
  clearResult();
  card.hidden = false;
}

/** Bring the card into view and, for the keyboard, into focus. */
export function goToCard() {
  byId("job-title").focus({ preventScroll: true });
  scrollToCard();
}

function scrollToCard() {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  card.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
}

/** Whether the person is looking at the card, so that it may be moved under their eyes. */
function isWatched() {
  const { top, bottom } = byId("job-title").getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
}

/**
 * @param {string} state
 * @param {string} title
 * @param {string} detail
 */
function setState(state, title, detail) {
  if (card.dataset.state !== state || byId("job-title").textContent !== title) announce(title);
  card.dataset.state = state;
  byId("job-title").textContent = title;
  byId("job-detail").textContent = detail;
  byId("job-faults").hidden = true;
  const busy = ["uploading", "lost", "paused", "queued", "running"].includes(state);
  bar.hidden = !busy;
  byId("job-cancel").hidden = !busy;
  byId("job-cancel").disabled = cancelling;
  byId("job-pause").hidden = true;
  byId("job-again").hidden = !["error", "cancelled"].includes(state);
}

/** @param {number|null} share percent; null: not known */
function setBar(share) {
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

/** @param {import("./upload.js").Progress} progress */
export function showUpload({ phase, sent, total, rate, trouble, reached }) {
  const share = total > 0 ? Math.min(100, Math.floor((100 * sent) / total)) : 0;
  const done = `${share} % of ${fileSize(total)}`;
  if (phase === "paused") setState("paused", "Paused", `${done} sent. What has arrived is kept.`);
  else if (phase === "lost" && reached) setState("lost", "The server is in trouble", `${trouble} Trying again; ${done} sent.`);
  else if (phase === "lost") setState("lost", "Connection lost", `Trying again. ${done} sent; what has arrived is kept.`);
  else if (phase === "finishing") setState("uploading", "Uploading", "Sent. Checking the file…");
  else setState("uploading", "Uploading", [done, ...paceOf(rate, total - sent)].join(" · "));
  byId("job-pause").hidden = phase === "finishing" || cancelling;
  byId("job-pause").textContent = phase === "paused" ? "Resume" : "Pause";
  setBar(phase === "finishing" ? null : share);
  if (phase === "sending") announceProgress(share);
}

/**
 * @param {number|null} rate bytes a second
 * @param {number} left bytes
 */
function paceOf(rate, left) {
  if (!rate) return [];
  return [`${fileSize(rate)}/s`, `${elapsed(Math.ceil(left / rate))} left`];
}

/** The file is there; the render is being asked for. */
export function showAsking() {
  setState("queued", "Starting", "Asking for the render…");
  setBar(null);
}

/** @param {import("./api.js").Job} job */
export function showJob(job) {
  shown = job;
  byId("job-name").textContent = nameOf(job);
  cancelling = !hasEnded(job) && (cancelling || Boolean(job.cancelRequested));
  if (hasEnded(job) && job.logsTail?.length) {
    lines.textContent = ""; // the record is whole; the event stream may have been cut short, or never begun
    job.logsTail.forEach(addLine);
  }
  const show = { queued: showQueued, running: showRunning, done: showDone, error: showFailed };
  show[job.status]?.(job);
}

/** What a queued job waits for beside its turn. */
const HELD = {
  resume: "The queue is paused: nothing starts until somebody resumes it.",
  worker: "No worker is there: it starts when one comes.",
};

/** @param {import("./api.js").Job} job */
function showQueued(job) {
  const place = job.queuePosition;
  const turn = place === undefined ? "Waiting for a worker" : place <= 1 ? "Next in line" : `Number ${place} in line`;
  const held = HELD[/** @type {keyof HELD} */ (job.waitsFor)];
  const words = held ? `${turn}. ${held}` : turn;
  const last = job.attempts?.at(-1);
  const why = last?.message ? `${held ? "" : "."} The attempt before ended with: ${last.message}` : "";
  setState("queued", cancelling ? "Cancelling" : "Queued", words + why);
  bar.hidden = Boolean(held); // nothing moves
  setBar(null);
}

/** @param {import("./api.js").Job} job */
function showRunning(job) {
  percent = Math.max(percent, job.progressPct ?? 0);
  const known = job.progressPct !== null;
  const time = job.startedAt ? elapsed((Date.now() - Date.parse(job.startedAt)) / 1000) : "";
  const words = [known ? `${percent} %` : "", time].filter(Boolean).join(" · ");
  setState("running", cancelling ? "Cancelling" : "Rendering", words);
  setBar(known ? percent : null);
  announceProgress(percent);
}

/** @param {number} share percent, from the event stream between two readings of the job */
export function showProgress(share) {
  if (shown?.status === "running") showRunning({ ...shown, progressPct: share });
}

/** @param {number} share percent */
function announceProgress(share) {
  if (share < announced + ANNOUNCED_EVERY || share >= 100) return;
  announced = share - (share % ANNOUNCED_EVERY);
  announce(`${announced} %`);
}

/** @param {import("./api.js").Job} job */
function showDone(job) {
  setState("done", "Done", "");
  showResult(job);
}

/** @param {import("./api.js").Job} job */
function showFailed(job) {
  clearResult();
  if (stateOf(job) === "cancelled") setState("cancelled", "Cancelled", "The render was stopped. No output was kept.");
  else setState("error", "The render failed", job.error?.message ?? "The server gave no reason.");
}

/**
 * A failure outside a job: of the upload, of the request, of the connection.
 * @param {string} title
 * @param {string} message
 * @param {import("./http.js").Fault[]} faults those that belong to no field
 */
export function showProblem(title, message, faults = []) {
  setState("error", title, message);
  const items = faults.map((fault) => make("li", { textContent: `${fault.path}: ${fault.message}` }));
  byId("job-faults").replaceChildren(...items);
  byId("job-faults").hidden = items.length === 0;
  announce(`${title}. ${message}`);
}

export function showUploadStopped() {
  setState("cancelled", "Cancelled", "The upload was stopped. Nothing was rendered.");
}

export function showCancelling() {
  cancelling = true;
  setState(card.dataset.state ?? "running", "Cancelling", byId("job-detail").textContent ?? "");
}

/** The cancel was refused or did not arrive. @param {string} message */
export function showCancelFailed(message) {
  cancelling = false;
  if (shown) showJob(shown);
  showNote(message);
}

/** A word beside the state, until the next one. @param {string} message */
export function showNote(message) {
  byId("job-detail").textContent = message;
  announce(message);
}

/** @param {string} line */
export function addLine(line) {
  const all = [...(lines.textContent ? lines.textContent.split("\n") : []), line];
  lines.textContent = all.slice(-LINES_SHOWN).join("\n");
  byId("job-log").hidden = false;
}

/** @param {{onPause: () => void, onCancel: () => void, onAgain: () => void}} actions */
export function wireCard({ onPause, onCancel, onAgain }) {
  byId("job-pause").addEventListener("click", onPause);
  byId("job-cancel").addEventListener("click", onCancel);
  byId("job-again").addEventListener("click", onAgain);
  wireResult(() => isWatched() && scrollToCard());
  setInterval(() => shown?.status === "running" && !cancelling && showRunning(shown), 1000);
}
