/**
 * The HTTP contract as functions. Every failure, of the network too, is an ApiError (http.js).
 *
 * @typedef {{code: string, message: string}} JobError
 * @typedef {object} Job
 * @property {string} jobId
 * @property {string} [label] what it is called
 * @property {"queued"|"running"|"done"|"error"} status
 * @property {number|null} progressPct 0..100; null when the length is not known
 * @property {string[]} [logsTail]
 * @property {string} createdAt ISO 8601 UTC, as every time here
 * @property {string} [startedAt]
 * @property {string} [completedAt]
 * @property {string} [outputUrl]
 * @property {number} [outputSize] bytes
 * @property {number} [queuePosition] 1 is next
 * @property {"resume"|"worker"} [waitsFor] while queued: what is missing, beside its turn
 * @property {number} [durationMs] of the render, from its first start to its end
 * @property {boolean} [cancelRequested]
 * @property {{code?: string, message?: string}[]} [attempts] those that ended, oldest first
 * @property {JobError} [error]
 */

import { call } from "./http.js";
import { authorization, withKey } from "./key.js";

/**
 * @param {string} path
 * @param {RequestInit} [request]
 */
const asked = (path, request = {}) => withKey(() => call(path, { ...request, headers: { ...request.headers, ...authorization() } }));

const jobPath = (/** @type {string} */ jobId) => `/api/jobs/${encodeURIComponent(jobId)}`;

export const health = () => call("/api/health");

/** @returns {Promise<Job>} */
export const job = (/** @type {string} */ jobId) => asked(jobPath(jobId));

/** @returns {Promise<{jobs: Job[], nextCursor?: string}>} newest first */
export const jobs = (/** @type {number} */ limit) => asked(`/api/jobs?limit=${limit}`);

export const cancel = (/** @type {string} */ jobId) => asked(`${jobPath(jobId)}/cancel`, { method: "POST" });

export const retry = (/** @type {string} */ jobId) => asked(`${jobPath(jobId)}/retry`, { method: "POST" });

export const eventsAddress = (/** @type {string} */ jobId) => `${jobPath(jobId)}/events`;

/**
 * @param {object} body
 * @returns {Promise<{jobId: string, queuePosition: number, estimatedWaitMs?: number}>}
 */
export function execute(body) {
  const headers = { "Content-Type": "application/json" };
  return asked("/api/execute", { method: "POST", headers, body: JSON.stringify(body) });
}
