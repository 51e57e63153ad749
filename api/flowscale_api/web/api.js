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
  /**
   * @param {{code: string, message: string, details?: {faults?: Fault[]}}} error
   * @param {number} status of the answer; 0: there was none
   */
  constructor({ code, message, details }, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
    /** @type {Fault[]} */
    this.faults = Array.isArray(details?.faults) ? details.faults : [];
  }
}

export const UNREACHABLE = "UNREACHABLE";
export const ABORTED = "ABORTED";

export const unreachable = () =>
  new ApiError({
    code: UNREACHABLE,
    message: "The server cannot be reached. Check that it is running and that you are online, then try again.",
  });

/**
 * The JSON of an answer, if it is a good one.
 * @param {number} status
 * @param {string} text
 */
export function answerOf(status, text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = null; // a proxy's page, or nothing: said below
  }
  if (answer?.ok) return answer;
  if (answer?.error?.message) throw new ApiError(answer.error, status);
  const message = `The server answered with status ${status} and no explanation. Try again in a moment.`;
  throw new ApiError({ code: "NO_ANSWER", message }, status);
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
