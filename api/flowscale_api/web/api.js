/**
 * The HTTP contract as functions. Every failure, of the network too, is an ApiError (http.js).
 *
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

import { call } from "./http.js";

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
