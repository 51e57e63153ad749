/**
 * The admin interface as functions. Every failure is an ApiError.
 *
 * @typedef {{code: string, message: string}} JobError
 * @typedef {object} JobRow
 * @property {string} jobId
 * @property {"waiting"|"delayed"|"running"|"done"|"error"} state
 * @property {number|null} progressPct
 * @property {string|null} projectId
 * @property {string|null} label
 * @property {string} priority
 * @property {string} createdAt ISO 8601 UTC, as every time here
 * @property {string|null} startedAt
 * @property {string|null} completedAt
 * @property {string|null} worker
 * @property {number} attempts
 * @property {JobError|null} error
 * @property {number|null} queuePosition 1 is next
 * @property {string|null} outputUrl
 *
 * @typedef {object} Worker
 * @property {string} worker
 * @property {string} group
 * @property {boolean} able
 * @property {string|null} problem
 * @property {string|null} ffmpegVersion
 * @property {number} slots
 * @property {number} reportAgeMs
 * @property {string|null} startedAt
 * @property {string[]} jobs
 *
 * @typedef {object} Overview
 * @property {string} now
 * @property {string} version
 * @property {boolean} readOnly
 * @property {{waiting: number, due: number, delayed: number, running: number, done: number, error: number,
 *   paused: boolean, oldestWaitMs: number|null}} queue
 * @property {Worker[]} workers
 * @property {{kind: string, version: string|null, memoryBytes: number|null, memoryLimitBytes: number|null,
 *   policy: string|null, persistence: string|null}} server
 * @property {string[]} warnings
 *
 * @typedef {{at: string, enqueued: number|null, done: number|null, error: number|null, waiting: number|null,
 *   running: number|null}} Point
 */

import { get, send } from "./session.js";

export const PAGE_OF_JOBS = 50;

const jobPath = (/** @type {string} */ jobId) => `admin/jobs/${encodeURIComponent(jobId)}`;

/** @returns {Promise<Overview>} */
export const overview = () => get("admin/overview");

/** @returns {Promise<{stepSeconds: number, points: Point[]}>} oldest first */
export const history = () => get("admin/history");

/**
 * @param {{state: string, q: string}} wanted
 * @param {string} cursor "" for the newest
 * @returns {Promise<{jobs: JobRow[], nextCursor: string|null, total: number}>}
 */
export function jobs({ state, q }, cursor) {
  const words = new URLSearchParams({ limit: String(PAGE_OF_JOBS) });
  if (state) words.set("state", state);
  if (q) words.set("q", q);
  if (cursor) words.set("cursor", cursor);
  return get(`admin/jobs?${words}`);
}

/** @param {string} jobId */
export const job = (jobId) => get(jobPath(jobId));

/** @param {string} jobId */
export const cancel = (jobId) => send("POST", `${jobPath(jobId)}/cancel`);

/** @param {string} jobId */
export const retry = (jobId) => send("POST", `${jobPath(jobId)}/retry`);

/** @param {string} jobId */
export const promote = (jobId) => send("POST", `${jobPath(jobId)}/promote`);

/** @param {string} jobId */
export const remove = (jobId) => send("DELETE", jobPath(jobId));

/** @param {{code?: string, projectId?: string}} which @returns {Promise<{retried: number, left: number}>} */
export const retryFailed = (which) => send("POST", "admin/retry-failed", which);

export const pause = () => send("POST", "admin/queue/pause");

export const resume = () => send("POST", "admin/queue/resume");

/** @param {string} deliveryId */
export const replay = (deliveryId) => send("POST", `admin/webhooks/${encodeURIComponent(deliveryId)}/replay`);

export const OVERVIEW_EVENTS = "../api/admin/events";

/** @param {string} jobId */
export const jobEvents = (jobId) => `../api/jobs/${encodeURIComponent(jobId)}/events`;
