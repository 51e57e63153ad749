/**
 * The HTTP contract as functions. Every failure, of the network too, is an ApiError whose message is for people.
 *
 * @typedef {{path: string, message: string}} Fault
 * @typedef {{code: string, message: string}} JobError
 * @typedef {object} Job
 * @property {string} jobId
 * @property {"queued"|"running"|"done"|"error"} status
 * @property {number|null} progressPct 0..100; null when the length is not known
 * @property {string[]} [logsTail]
 * @property {string} createdAt ISO 8601 UTC, as every time here
 * @property {string} [startedAt]
 * @property {string} [completedAt]
 * @property {string} [outputUrl]
 * @property {number} [outputSize] bytes
 * @property {number} [queuePosition] 1 is next
 * @property {number} [durationMs] of the render, from its first start to its end
 * @property {boolean} [cancelRequested]
 * @property {{code?: string, message?: string}[]} [attempts] those that ended, oldest first
 * @property {JobError} [error]
 */

export class ApiError extends Error {
  /** @param {{code: string, message: string, details?: {faults?: Fault[]}}} error */
  constructor({ code, message, details }) {
    super(message);
    this.code = code;
    /** @type {Fault[]} */
    this.faults = Array.isArray(details?.faults) ? details.faults : [];
  }
}

export const UNREACHABLE = "UNREACHABLE";
export const ABORTED = "ABORTED";

const unreachable = () =>
  new ApiError({
    code: UNREACHABLE,
    message: "The server cannot be reached. Check that it is running and that you are online, then try again.",
  });

/**
 * @param {number} status
 * @param {string} text
 */
function answerOf(status, text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = null; // a proxy's page, or nothing: said below
  }
  if (answer?.ok) return answer;
  if (answer?.error?.message) throw new ApiError(answer.error);
  const message = `The server answered with status ${status} and no explanation. Try again in a moment.`;
  throw new ApiError({ code: "NO_ANSWER", message });
}

/**
 * @param {string} path
 * @param {RequestInit} [request]
 */
async function call(path, request) {
  let response;
  let text;
  try {
    response = await fetch(path, { cache: "no-store", ...request });
    text = await response.text();
  } catch {
    throw unreachable(); // fetch says no more than "failed"
  }
  return answerOf(response.status, text);
}

const jobPath = (/** @type {string} */ jobId) => `/api/jobs/${encodeURIComponent(jobId)}`;

export const health = () => call("/api/health");

/** @returns {Promise<Job>} */
export const job = (/** @type {string} */ jobId) => call(jobPath(jobId));

/** @returns {Promise<{jobs: Job[], nextCursor?: string}>} newest first */
export const jobs = (/** @type {number} */ limit) => call(`/api/jobs?limit=${limit}`);

export const cancel = (/** @type {string} */ jobId) => call(`${jobPath(jobId)}/cancel`, { method: "POST" });

export const retry = (/** @type {string} */ jobId) => call(`${jobPath(jobId)}/retry`, { method: "POST" });

export const eventsAddress = (/** @type {string} */ jobId) => `${jobPath(jobId)}/events`;

/**
 * @param {object} body
 * @returns {Promise<{jobId: string, queuePosition: number, estimatedWaitMs?: number}>}
 */
export function execute(body) {
  const headers = { "Content-Type": "application/json" };
  return call("/api/execute", { method: "POST", headers, body: JSON.stringify(body) });
}

/**
 * Send a file. XMLHttpRequest, because fetch does not report how much has been sent.
 * @param {File} file
 * @param {(sent: number, total: number) => void} onProgress bytes
 * @param {AbortSignal} signal
 * @returns {Promise<{filePath: string}>}
 */
export function upload(file, onProgress, signal) {
  const form = new FormData();
  form.append("file", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("abort", () => reject(new ApiError({ code: ABORTED, message: "The upload was stopped." })));
    request.addEventListener("load", () => {
      try {
        resolve(answerOf(request.status, request.responseText));
      } catch (error) {
        reject(error);
      }
    });
    request.addEventListener("loadend", () => signal.removeEventListener("abort", stop));
    signal.addEventListener("abort", stop);
    request.open("POST", "/api/upload");
    request.send(form);
  });
}
