/** The page of one job: reads it, follows it while it is under way, and has its parts drawn. */

import { announce, byId, make } from "../dom.js";
import { ApiError } from "../http.js";
import { actionsOf } from "./actions.js";
import * as api from "./admin-api.js";
import { faultPanel, jobAdvice } from "./advice.js";
import { attemptsOf } from "./attempts.js";
import { commandsOf } from "./commands.js";
import { deliveriesOf, isSending } from "./deliveries.js";
import { copyButton } from "./copying.js";
import { confirmed } from "./dialog.js";
import { askedFor, factsOf, sourcesOf } from "./job-facts.js";
import { addLine, logOf } from "./job-log.js";
import { mark, stateOf, stateWord } from "./marks.js";
import { clearNotice } from "./notice.js";
import { playerOf } from "./player.js";
import { follow } from "./stream.js";
import { timelineOf } from "./timeline.js";

/** @typedef {{back: string, readOnly: boolean, onBack: () => void, onGone: () => void}} Frame */

const ENDED = ["done", "error"];
const SENDING_MS = 5000;

/** @type {any} */
let shown = null;
let shownId = "";
/** @type {Frame} */
let frame = { back: "queues", readOnly: false, onBack: () => {}, onGone: () => {} };
/** @type {{stop: () => void}|null} */
let stream = null;
let round = 0;
let highest = 0;
let timer = 0;
/** The job's state by the last thing that was done to it, which the notice tells of; "" when nothing was. */
let noticed = "";

/**
 * @param {string} jobId
 * @param {Frame} around
 */
export async function showJob(jobId, around) {
  frame = around;
  if (jobId === shownId && shown) return draw(shown);
  closeJob();
  shownId = jobId;
  document.title = "Job · FlowScale";
  byId("job-view").replaceChildren(head(), make("p", { className: "note loading", textContent: "Loading the job…" }));
  await read();
  /** @type {HTMLElement|null} */ (byId("job-view").querySelector("h1"))?.focus();
}

/** @param {Partial<Frame>} change */
export function refreshJob(change) {
  frame = { ...frame, ...change };
  if (shown) draw(shown);
}

export function closeJob() {
  clearTimeout(timer);
  stream?.stop();
  stream = null;
  shown = null;
  shownId = "";
  highest = 0;
  noticed = "";
  round += 1;
  byId("job-view").replaceChildren();
}

async function read() {
  clearTimeout(timer);
  round += 1;
  const mine = round;
  try {
    const job = await api.job(shownId);
    if (mine !== round) return;
    const before = shown && stateOf(shown);
    shown = job;
    if (noticed && noticed !== stateOf(job)) {
      noticed = "";
      clearNotice();
    }
    if (before && before !== stateOf(job)) announce(`The job is ${stateWord(stateOf(job)).toLowerCase()}`);
    draw(job);
    if (ENDED.includes(job.state)) {
      stream?.stop();
      stream = null;
      if (isSending(job)) timer = setTimeout(readWhenSeen, SENDING_MS);
    } else if (!stream) {
      watch();
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (mine !== round) return;
    if (shown && error.status !== 404) return; // what is shown stays; the stream goes on asking
    stream?.stop();
    stream = null;
    byId("job-view").replaceChildren(head(), faultPanel(error, () => void read()));
  }
}

function readWhenSeen() {
  if (document.hidden) document.addEventListener("visibilitychange", readWhenSeen, { once: true });
  else if (shown) void read();
}

/** A `state` event only says that it is time to read the job again. */
function watch() {
  highest = 0;
  const known = new Set(shown.logsTail ?? []);
  stream = follow(
    api.jobEvents(shownId),
    {
      onEvent: ({ name, data }) => {
        const event = JSON.parse(data);
        if (name === "state") void read();
        else if (name === "log" && !known.delete(event.line)) addLine(event.line);
        else if (name === "progress" && typeof event.progressPct === "number") showProgress(event.progressPct);
      },
      onEnd: () => {
        stream = null;
        void read();
      },
    },
    { ends: true },
  );
}

/** @param {number} percent never falls while one execution is followed */
function showProgress(percent) {
  highest = Math.max(highest, percent);
  const bar = document.getElementById("job-progress");
  if (!(bar instanceof HTMLProgressElement)) return;
  bar.value = highest;
  byId("job-percent").textContent = `${highest} %`;
}

function head() {
  const back = make("a", { className: "back", href: frame.back, textContent: "← Jobs" });
  back.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    frame.onBack();
  });
  return back;
}

/** @param {any} job */
function draw(job) {
  const place = byId("job-view");
  const focused = place.contains(document.activeElement) ? document.activeElement?.id : "";
  const opened = new Set([...place.querySelectorAll("details[open]")].map((element) => element.id));
  const player = place.querySelector(".player");
  document.title = `${labelOf(job)} · ${stateWord(stateOf(job))} · FlowScale`;
  const main = make("div", { className: "job-main" });
  main.append(...[faultOf(job), progressOf(job), playerOf(job, player), logOf(job), timelineOf(job), attemptsOf(job), commandsOf(job)].filter((part) => part !== null));
  const side = make("div", { className: "job-side" });
  const parts = [factsOf(job), askedFor(job), sourcesOf(job), deliveriesOf(job, frame.readOnly, () => void read())];
  side.append(...parts.filter((part) => part !== null));
  place.replaceChildren(head(), title(job), make("div", { className: "job-parts" }, main, side));
  place.querySelectorAll("details").forEach((element) => {
    if (opened.has(element.id)) element.open = true;
  });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** @param {any} job */
const labelOf = (job) => job.label || "Untitled";

/** @param {any} job */
function title(job) {
  const state = make("p", { className: "state big" }, mark(stateOf(job)), job.cancelRequested && job.state === "running" ? "Stopping" : stateWord(stateOf(job)));
  state.dataset.state = stateOf(job);
  const heading = make("h1", { tabIndex: -1, id: "job-heading", textContent: labelOf(job) });
  const copy = copyButton("copy-id", "Copy id", job.jobId);
  const actions = make("div", { className: "actions" });
  if (frame.readOnly) actions.append(make("p", { className: "note", textContent: "Read only: this gateway changes nothing." }));
  else actions.append(...actionsOf({ ...job, label: labelOf(job) }).map(actionButton));
  return make(
    "div",
    { className: "head job-title" },
    make(
      "div",
      { className: "job-words" },
      make("div", { className: "job-name" }, heading, state),
      make("p", { className: "job-id-line" }, make("code", { textContent: job.jobId }), copy),
    ),
    actions,
  );
}

/** @param {{words: string, action: import("./dialog.js").Action}} offered */
function actionButton({ words, action }) {
  const button = make("button", { type: "button", id: `do-${words.toLowerCase()}`, textContent: words });
  if (action.grave) button.classList.add("grave-quiet");
  button.addEventListener("click", async () => {
    noticed = "";
    const answer = await confirmed(action);
    if (answer === null) return;
    if (action.leaves) return frame.onGone();
    noticed = stateOf(answer.job);
    await read();
    document.getElementById("job-heading")?.focus();
  });
  return button;
}

/** @param {any} job */
function faultOf(job) {
  if (!job.error) return null;
  const cancelled = job.error.code === "CANCELLED";
  const panel = make(
    "section",
    { className: cancelled ? "strip block" : "strip bad block" },
    make("p", {}, make("strong", { className: "code", textContent: job.error.code }), ` ${job.error.message}`),
  );
  panel.setAttribute("aria-label", "Why it ended");
  const advice = jobAdvice(job.error.code);
  if (advice) panel.append(make("p", { textContent: advice }));
  return panel;
}

/** @param {any} job */
function progressOf(job) {
  if (job.state !== "running") return null;
  highest = Math.max(highest, job.progressPct ?? 0);
  const bar = make("progress", { id: "job-progress", max: 100 });
  bar.setAttribute("aria-label", "Progress");
  if (job.progressPct !== null || highest) bar.value = highest;
  const worker = make("p", { className: "note", textContent: `on ${job.worker ?? "a worker"}` });
  return make("section", { className: "card progress-card" }, make("div", { className: "panel-head" }, make("h2", { id: "job-percent", textContent: `${highest} %` }), worker), bar);
}
