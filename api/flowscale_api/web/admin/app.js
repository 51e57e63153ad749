/** The page, put together: its address, its session, its stream of news, and the two things it shows. */

import { announce, byId, make } from "../dom.js";
import { ApiError } from "../http.js";
import { pause, resume, retryFailed } from "./actions.js";
import { addressOf, viewOf } from "./address.js";
import * as api from "./admin-api.js";
import { faultPanel } from "./advice.js";
import { makeCounts, markChosen, showCounts } from "./counts.js";
import { confirmed } from "./dialog.js";
import { showHour } from "./hour.js";
import { closeJob, refreshJob, showJob } from "./job-page.js";
import { isMoving, refreshJobs, showJobs, wireJobs } from "./jobs.js";
import { watchOverview } from "./live.js";
import { mark } from "./marks.js";
import { leaveNotice, note } from "./notice.js";
import { logOut, openSession } from "./session.js";
import { setClock } from "./times.js";
import { showWarnings } from "./warnings.js";
import { showWorkers } from "./workers.js";

const LIST_EVERY_MS = 2000; // at most, while the queue moves
const PROGRESS_EVERY_MS = 4000; // of jobs in the list that run
const HOUR_EVERY_MS = 60_000;
const TYPING_MS = 60;

let view = viewOf(location.search);
/** @type {import("./admin-api.js").Overview|null} */
let overview = null;
let readOnly = false;
let listDue = false;
let listReadAt = 0;
let hourReadAt = 0;

/** Cursors of the pages between the newest and the one shown: of this entry of the browser's history. */
const trail = () => /** @type {string[]} */ (history.state?.trail ?? []);

/**
 * @param {import("./address.js").View} next
 * @param {{trail?: string[], replace?: boolean}} [how]
 */
function go(next, { trail: pages = [], replace = false } = {}) {
  const entry = { trail: pages };
  if (replace) history.replaceState(entry, "", addressOf(next));
  else history.pushState(entry, "", addressOf(next));
  show();
}

/** What the address says. */
function show() {
  const before = view;
  view = viewOf(location.search);
  if (isElsewhere(before)) leaveNotice();
  const isJob = view.job !== "";
  document.body.dataset.view = isJob ? "job" : "list";
  byId("list-view").hidden = isJob;
  byId("job-view").hidden = !isJob;
  markChosen(view);
  if (isJob) {
    void showJob(view.job, { back: addressOf({ ...view, job: "" }), readOnly, onBack: leaveJob, onGone: leaveJob });
    return;
  }
  closeJob();
  document.title = "Queue · FlowScale";
  if (byId("search-words").value.trim() !== view.q) byId("search-words").value = view.q;
  drawActions();
  void readList();
  if (before.job) byId("list-title").focus();
}

/** Whether another list or another job is looked at than before. @param {import("./address.js").View} before */
const isElsewhere = (before) => before.job !== view.job || before.state !== view.state || before.q !== view.q;

function leaveJob() {
  go({ ...view, job: "" }, { trail: trail() });
}

function readList() {
  listDue = false;
  listReadAt = Date.now();
  return showJobs(view, trail());
}

/** @param {import("./admin-api.js").Overview} news */
function onOverview(news) {
  const wasPaused = overview?.queue.paused;
  overview = news;
  setClock(news.now);
  showCounts(news);
  showWarnings(news);
  showWorkers(news, (jobId) => jobLink(jobId));
  setReadOnly(news.readOnly);
  if (wasPaused !== news.queue.paused) drawPaused();
  drawActions();
  listDue = true;
  pace();
}

/** @param {string} jobId */
function jobLink(jobId) {
  const link = make("a", { className: "job-ref", textContent: `…${jobId.slice(-6)}`, title: jobId, href: addressOf({ ...view, job: jobId }) });
  link.setAttribute("aria-label", `Job ${jobId}`);
  link.dataset.job = jobId;
  link.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go({ ...view, job: jobId }, { trail: trail() });
  });
  return link;
}

/** Read again what has changed, no oftener than a person can follow. */
function pace() {
  if (document.hidden || document.body.dataset.live !== "live") return;
  const now = Date.now();
  if (now - hourReadAt >= HOUR_EVERY_MS) {
    hourReadAt = now;
    void readHour();
  }
  if (view.job) return;
  const due = listDue ? LIST_EVERY_MS : isMoving() ? PROGRESS_EVERY_MS : Infinity;
  if (now - listReadAt < due) return;
  listDue = false;
  listReadAt = now;
  void refreshJobs();
}

async function readHour() {
  try {
    showHour((await api.history()).points);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (!byId("hour").querySelector("figure")) byId("hour").replaceChildren(faultPanel(error, () => void readHour()));
  }
}

/** @param {boolean} now */
function setReadOnly(now) {
  byId("read-only").hidden = !now;
  byId("read-only").title = "FLOWSCALE_ADMIN_READ_ONLY is set: this page shows, and changes nothing.";
  if (readOnly === now) return;
  readOnly = now;
  drawActions();
  if (view.job) refreshJob({ readOnly });
}

function drawPaused() {
  byId("paused").hidden = !overview?.queue.paused;
  byId("paused").replaceChildren(mark("paused"), "Paused: nothing new starts");
  announce(overview?.queue.paused ? "The queue is paused" : "The queue is not paused");
}

let drawn = "";

function drawActions() {
  const paused = overview?.queue.paused;
  const failed = overview?.queue.error ?? 0;
  const said = JSON.stringify([readOnly, overview === null, paused, failed > 0]);
  if (said === drawn) return;
  drawn = said;
  if (readOnly) {
    byId("queue-actions").replaceChildren(make("p", { className: "note", textContent: "Read only: this gateway changes nothing." }));
    return;
  }
  const flow = button(paused ? "Resume queue" : "Pause queue", () => (paused ? resume() : pause()));
  const again = button("Retry all failed", () => retryFailed(narrowed(), overview?.queue.error ?? 0));
  flow.disabled = overview === null;
  again.disabled = failed === 0;
  const focused = [...byId("queue-actions").children].indexOf(document.activeElement);
  byId("queue-actions").replaceChildren(flow, again);
  if (focused >= 0) byId("queue-actions").children[focused].focus();
}

/** The code that is searched for, as a first suggestion of what to retry. */
function narrowed() {
  const code = view.q.split(/\s+/).find((word) => /^[A-Z]+_[A-Z_]+$/.test(word));
  return { code: code ?? "", projectId: "" };
}

/**
 * @param {string} words
 * @param {() => import("./dialog.js").Action} action
 */
function button(words, action) {
  const element = make("button", { type: "button", textContent: words });
  element.addEventListener("click", async () => {
    const answer = await confirmed(action());
    if (answer === null) return;
    listReadAt = Date.now();
    await refreshJobs();
  });
  return element;
}

function wireSearch() {
  let timer = 0;
  const search = () => {
    const q = byId("search-words").value.trim();
    if (q !== view.q) go({ ...view, q, job: "" }, { replace: true });
  };
  byId("search-words").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, TYPING_MS);
  });
  byId("search").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    clearTimeout(timer);
    search();
  });
}

/** @param {import("./session.js").Session} session */
function showSession({ name, readOnly: shows }) {
  byId("who").textContent = name;
  byId("who").title = `${name === "local" ? "This machine needs no key here" : `Logged in with the key ${name}`}`;
  byId("log-out").hidden = name === "local"; // this machine's own user, who needs no login
  setReadOnly(Boolean(shows));
}

async function begin() {
  makeCounts((state) => go({ ...view, state, job: "" }));
  wireJobs(
    (jobId) => go({ ...view, job: jobId }, { trail: trail() }),
    (pages) => {
      go({ ...view, job: "" }, { trail: pages });
      byId("jobs-title").focus();
    },
  );
  wireSearch();
  byId("home").addEventListener("click", (/** @type {MouseEvent} */ event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go({ state: "", q: "", job: "" });
  });
  byId("log-out").addEventListener("click", async () => {
    try {
      await logOut();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      note(`You are still logged in: ${error.message}`);
    }
  });
  window.addEventListener("popstate", show);
  setInterval(pace, 500);
  const typed = byId("search-words").value.trim(); // before this could hear of it
  if (typed && !view.q && !view.job) history.replaceState({ trail: [] }, "", addressOf({ ...view, q: typed }));
  show();
  watchOverview(onOverview);
  hourReadAt = Date.now();
  void readHour();
  try {
    showSession(await openSession());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status !== 401) note(`Nothing can be changed until this page is reloaded: ${error.message}`);
  }
}

void begin();
