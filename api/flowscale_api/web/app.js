/**
 * The page: one clip, one form, one card for the render being looked at, and the list of recent ones.
 *
 * The path of a render: check the form, upload the clip (once for all its renders), execute, follow. Whatever fails
 * is said in the card or beside the field; what runs on the server goes on without this page.
 */

import * as api from "./api.js";
import { byId } from "./dom.js";
import { follow, hasEnded } from "./follow.js";
import { clearFaults, readForm, setClip, showFaults, wireForm } from "./form.js";
import { watchHealth } from "./health.js";
import { ABORTED, ApiError } from "./http.js";
import * as card from "./job-card.js";
import { isKeyHeld, mayAsk, wireKey } from "./key.js";
import { labelFor, nameOf, remember } from "./names.js";
import { refreshRecent, setCurrent, wireRecent } from "./recent.js";
import { curlCommands, optionsOf } from "./request.js";
import { playResult } from "./result.js";
import { wireSource } from "./source.js";
import { newestName } from "./unfinished.js";
import { Upload } from "./upload.js";

/** @type {import("./source.js").Clip|null} */
let clip = null;
/** @type {{file: File, filePath: string}|null} */
let uploaded = null;
/** The render being sent, until the server has given it an id. @type {AbortController|null} */
let sending = null;
/** What is being uploaded for it. @type {Upload|null} */
let uploading = null;
/** The job the card shows. */
let jobId = "";
let stopFollowing = () => {};

const filePathOf = (/** @type {File} */ file) => (uploaded?.file === file ? uploaded.filePath : null);

/** @param {import("./source.js").Clip} chosen */
function onClip(chosen) {
  clip = chosen;
  document.body.dataset.view = "ready";
  byId("options").hidden = false;
  setClip(chosen);
  showCurl();
}

function requestOptions(/** @type {File} */ file) {
  const { options, faults } = optionsOf(readForm());
  return { options: { outputName: labelFor(file.name), ...options }, faults };
}

function showCurl() {
  if (!clip) return;
  const { options } = requestOptions(clip.file);
  byId("curl").textContent = curlCommands(location.origin, clip.file.name, filePathOf(clip.file), options, isKeyHeld());
}

async function render() {
  if (!clip || sending) return;
  const { file } = clip;
  const { options, faults } = requestOptions(file);
  if (faults.length) {
    showFaults(faults);
    return;
  }
  clearFaults();
  mayAsk();
  watchNothing();
  sending = new AbortController();
  byId("render").disabled = true;
  card.openCard(file.name);
  try {
    const job = await send(file, options, sending.signal);
    remember(job.jobId, file.name);
    watch(job.jobId);
    if (sending.signal.aborted) void cancel(); // asked for while the server was answering
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    onSendFailed(error);
  } finally {
    sending = null;
    byId("render").disabled = false;
    showCurl();
    void refreshRecent();
  }
}

/**
 * @param {File} file
 * @param {Record<string, any>} options
 * @param {AbortSignal} signal
 */
async function send(file, options, signal) {
  const known = filePathOf(file);
  try {
    return await execute(known ?? (await upload(file, signal)), options);
  } catch (error) {
    const isGone = error instanceof ApiError && error.code === "FILE_NOT_FOUND";
    if (!known || !isGone) throw error;
    return execute(await upload(file, signal), options); // uploads are kept for a while only
  }
}

/**
 * @param {File} file
 * @param {AbortSignal} signal
 */
async function upload(file, signal) {
  const begun = new Upload(file, card.showUpload);
  const stop = () => begun.stop();
  signal.addEventListener("abort", stop);
  card.showUpload({ phase: "sending", sent: 0, total: file.size, rate: null, trouble: "", reached: true });
  card.goToCard();
  uploading = begun;
  try {
    const filePath = await begun.run();
    uploaded = { file, filePath };
    return filePath;
  } finally {
    uploading = null;
    signal.removeEventListener("abort", stop);
  }
}

function pauseOrResume() {
  if (uploading?.paused) uploading.resume();
  else uploading?.pause();
}

/**
 * @param {string} filePath
 * @param {Record<string, any>} options
 */
function execute(filePath, options) {
  card.showAsking();
  card.goToCard();
  return api.execute({ sourcePath: filePath, ...options });
}

/** @param {ApiError} error */
function onSendFailed(error) {
  if (error.code === ABORTED) {
    card.showUploadStopped();
    return;
  }
  card.showProblem("This could not be rendered", error.message, showFaults(error.faults));
}

function watchNothing() {
  stopFollowing();
  jobId = "";
  setCurrent("");
  setTitle("");
}

/** @param {string} id */
function watch(id) {
  watchNothing();
  jobId = id;
  setCurrent(id);
  stopFollowing = follow(id, {
    onJob,
    onProgress: (percent) => {
      card.showProgress(percent);
      setTitle(`${percent} %`);
    },
    onLog: card.addLine,
    onTrouble: (error) => error && card.showNote(error.message),
    onLost: (error) => card.showProblem("This render cannot be shown", error.message),
  });
}

/** @param {api.Job} job */
function onJob(job) {
  card.showJob(job);
  if (!hasEnded(job)) return;
  setTitle(card.stateOf(job) === "done" ? "Done" : "");
  void refreshRecent();
}

/** @param {string} words */
function setTitle(words) {
  document.title = words ? `${words} · FlowScale` : "FlowScale";
}

/** A row of the list was chosen: show that render, and play it if it is done. @param {api.Job} job */
function openJob(job) {
  if (sending) {
    card.goToCard(); // where what is being sent can be seen, and stopped
    return;
  }
  card.openCard(nameOf(job));
  card.showJob(job);
  card.goToCard();
  if (hasEnded(job)) {
    watchNothing();
    jobId = job.jobId;
    setCurrent(job.jobId);
  } else watch(job.jobId);
  if (job.status === "done") playResult();
}

async function cancel() {
  if (sending && !jobId) {
    sending.abort();
    card.showCancelling();
    return;
  }
  card.showCancelling();
  mayAsk();
  try {
    await api.cancel(jobId);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    card.showCancelFailed(error.message);
  }
}

/** Try again: the same job where there is one, else the form as it now stands. */
async function again() {
  if (!jobId) return render();
  const id = jobId;
  mayAsk();
  try {
    const job = await api.retry(id);
    card.openCard(nameOf({ ...job, jobId: id }));
    card.showAsking();
    watch(id);
    void refreshRecent();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    card.showNote(error.message);
  }
}

/** Say that the upload a reload or a closed page cut off can be gone on with. */
function showUnfinished() {
  const name = newestName();
  byId("unfinished").hidden = !name;
  byId("unfinished-name").textContent = name;
}

function wireCurl() {
  const copy = byId("curl-copy");
  copy.hidden = !navigator.clipboard; // browsers offer it on https and localhost only
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId("curl").textContent);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Not allowed by the browser";
    }
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
}

byId("form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  void render();
});
wireKey(() => {
  showCurl();
  void refreshRecent();
});
wireSource(onClip);
wireForm(showCurl);
card.wireCard({ onPause: pauseOrResume, onCancel: () => void cancel(), onAgain: () => void again() });
wireRecent(openJob);
wireCurl();
showUnfinished();
void watchHealth();
