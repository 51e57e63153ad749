/** What can be done, each with the words that say what will happen. */

import * as api from "./admin-api.js";
import { count } from "./times.js";

/**
 * @typedef {import("./dialog.js").Action} Action
 * @typedef {{jobId: string, state: string, label?: string|null, cancelRequested?: boolean}} Target
 */

/** @param {Target} job */
const named = (job) => (job.label ? `“${job.label}”` : `…${job.jobId.slice(-6)}`);

const ENDED = ["done", "error"];
const WAITING = ["waiting", "delayed"];

/** What fits a job as it is now. @param {Target} job @returns {{words: string, action: Action}[]} */
export function actionsOf(job) {
  const offered = [];
  if (job.state === "error") offered.push({ words: "Retry", action: retry(job) });
  if (WAITING.includes(job.state)) offered.push({ words: "Promote", action: promote(job) });
  if (WAITING.includes(job.state) || (job.state === "running" && !job.cancelRequested)) {
    offered.push({ words: "Cancel", action: cancel(job) });
  }
  if (ENDED.includes(job.state) || WAITING.includes(job.state)) offered.push({ words: "Remove", action: remove(job) });
  return offered;
}

/** @param {Target} job @returns {Action} */
const retry = (job) => ({
  title: `Retry job ${named(job)}?`,
  says: ["It is queued again with all its attempts, behind what waits now. Its error and its attempts so far stay on record."],
  yes: "Retry the job",
  perform: () => api.retry(job.jobId),
  said: () => `Job ${named(job)} was queued again.`,
});

/** @param {Target} job @returns {Action} */
const promote = (job) => ({
  title: `Promote job ${named(job)}?`,
  says: [
    "It goes to the front of the queue: of high priority from now on, and first of its line.",
    ...(job.state === "delayed" ? ["It does not wait for its back-off any longer."] : []),
  ],
  yes: "Promote the job",
  perform: () => api.promote(job.jobId),
  said: () => `Job ${named(job)} was put to the front.`,
});

/** @param {Target} job @returns {Action} */
const cancel = (job) => ({
  title: `Cancel job ${named(job)}?`,
  says: [
    job.state === "running"
      ? "Its worker is told to stop FFmpeg, and what was rendered so far is thrown away. If it finishes first, it is done."
      : "It will not be rendered.",
    "It ends as cancelled. It can be retried later.",
  ],
  yes: "Cancel the job",
  grave: true,
  perform: () => api.cancel(job.jobId),
  said: () =>
    job.state === "running" ? `The worker of job ${named(job)} was told to stop.` : `Job ${named(job)} was cancelled.`,
});

/** @param {Target} job @returns {Action} */
const remove = (job) => ({
  title: `Remove job ${named(job)}?`,
  says: [
    job.state === "done"
      ? "Its output is deleted from the storage, and links to it break. All that is known of the job is forgotten."
      : "All that is known of the job is forgotten, its attempts and logs too.",
    "This cannot be undone.",
  ],
  yes: "Remove the job",
  grave: true,
  leaves: true,
  perform: () => api.remove(job.jobId),
  said: () => `Job ${named(job)} was removed.`,
});

/** @param {{code: string, projectId: string}} narrowed the fields' first values @param {number} failed @returns {Action} */
export const retryFailed = ({ code, projectId }, failed) => ({
  title: "Retry all failed jobs?",
  says: [
    `${count(failed)} failed or cancelled ${failed === 1 ? "job is" : "jobs are"} on record. Those that match are queued again with all their attempts, the newest 1,000 at most.`,
    "With no code given, every failed job matches, and no cancelled one. For those give the code CANCELLED.",
  ],
  fields: [
    { name: "code", label: "Error code", value: code, hint: "any" },
    { name: "projectId", label: "Project", value: projectId, hint: "any" },
  ],
  yes: "Retry failed jobs",
  wide: true,
  perform: (values) => api.retryFailed(Object.fromEntries(Object.entries(values).filter(([, value]) => value))),
  said: ({ retried, left }) =>
    `${count(retried)} failed ${retried === 1 ? "job was" : "jobs were"} queued again${left ? `; ${count(left)} are left` : ""}.`,
});

/** @returns {Action} */
export const pause = () => ({
  title: "Pause the queue?",
  says: ["Workers finish what they render and start nothing new. Jobs are still accepted, and wait.", "It stays paused until somebody resumes it."],
  yes: "Pause the queue",
  wide: true,
  perform: api.pause,
  said: () => "The queue was paused.",
});

/** @returns {Action} */
export const resume = () => ({
  title: "Resume the queue?",
  says: ["Workers take up what waits, at once."],
  yes: "Resume the queue",
  perform: api.resume,
  said: () => "The queue was resumed.",
});

/** @param {{id: string}} delivery @returns {Action} */
export const replay = (delivery) => ({
  title: "Send this webhook again?",
  says: ["The same message is sent from now on with all its tries, under the same id: a receiver that keeps to the rules takes it for the same."],
  yes: "Send it again",
  perform: () => api.replay(delivery.id),
  said: () => "The webhook will be sent again.",
});
