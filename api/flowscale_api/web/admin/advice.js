/** A failure in words: its code, what happened, and what to do about it where the server's own words do not say. */

import { make, prose } from "../dom.js";

/** What to do about a call that failed, by its code. */
const AFTER_CALLS = {
  READ_ONLY: "This gateway only shows. Use one that is not read only, or set FLOWSCALE_ADMIN_READ_ONLY=false.",
  CONFLICT: "The job has moved on meanwhile. Go back and look at it again.",
  JOB_NOT_FOUND: "It was removed, or forgotten after its time. Go back to the list.",
  CSRF_REFUSED: "Reload this page and try again.",
  TOO_MANY_ATTEMPTS: "Wait a moment and try again.",
  UNAUTHORIZED: "Log in again.",
  FORBIDDEN: "Your key may not do this. Ask for one with the scope admin.",
  QUEUE_UNAVAILABLE: "Look after Redis, then try again.",
  INTERNAL: "Look into the gateway's log with the request's id, and report it.",
};

/** What to do about a job that failed, by its code. */
const AFTER_JOBS = {
  TIMEOUT_ERROR: "It took longer than it may. Give it less to do, or raise FLOWSCALE_RENDER_TIMEOUT.",
  NO_OUTPUT: "FFmpeg made no file. Read the log of the last attempt, then retry.",
  EMPTY_OUTPUT: "A retry asks for the same, and ends the same. It needs a new request, with another trim or timeline.",
  FFMPEG_EXIT_ERROR: "Read the log of the last attempt. The same file will most likely fail again.",
  FFMPEG_SPAWN_ERROR: "FFmpeg could not be started on that worker. Look at the worker, then retry.",
  INVALID_MEDIA: "The source cannot be read. It needs another file; a retry will not help.",
  LIMIT_EXCEEDED: "The source or the result is larger than allowed. A retry will not help.",
  OUT_OF_MEMORY: "Give workers more memory or the job less to do, then retry.",
  DISK_FULL: "Make room on the worker's disk, then retry.",
  STORAGE_ERROR: "Look after the storage, then retry.",
  WORKER_LOST: "Its workers were lost while they rendered it: often for lack of memory. Look at them before a retry.",
  CANCELLED: "Somebody cancelled it. Retry it if that was a mistake.",
};

/** @param {string} code */
export const jobAdvice = (code) => AFTER_JOBS[/** @type {keyof AFTER_JOBS} */ (code)] ?? "";

/** @param {import("../http.js").ApiError} error @returns {Node[]} */
export function faultOf(error) {
  const advice = AFTER_CALLS[/** @type {keyof AFTER_CALLS} */ (error.code)];
  const words = [make("p", {}, make("strong", { className: "code", textContent: error.code }), " ", ...prose(error.message))];
  if (advice) words.push(make("p", { textContent: advice }));
  return words;
}

/**
 * A part of the page that could not be had.
 * @param {import("../http.js").ApiError} error
 * @param {() => void} again
 */
export function faultPanel(error, again) {
  const button = make("button", { type: "button", className: "small", textContent: "Try again" });
  button.addEventListener("click", again);
  const panel = make("div", { className: "strip bad" }, make("div", {}, ...faultOf(error)), button);
  panel.setAttribute("role", "alert");
  return panel;
}
