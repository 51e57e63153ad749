/**
 * Follow one job to its end: the event stream for speed, the job's own record for truth.
 *
 * A `state` event only says that it is time to read the record again. So a stream that replays the past after a
 * reconnect, or the earlier life of a job that was tried again, can never end the watch too early. The record is
 * also read when the stream has been silent for a while, and every second when there is no stream.
 */

import * as api from "./api.js";
import { ApiError } from "./http.js";
import { isKeyHeld } from "./key.js";

const SILENCE_MS = 5000;
const POLL_MS = 1000;
const STREAM_FAILURES_BORNE = 3;

/**
 * @typedef {object} Listener
 * @property {(job: api.Job) => void} onJob
 * @property {(percent: number) => void} onProgress never falls
 * @property {(line: string) => void} onLog
 * @property {(error: ApiError|null) => void} onTrouble null: the server answers again
 * @property {(error: ApiError) => void} onLost the job cannot be followed any more
 */

/** @param {{status: string}} job */
export const hasEnded = (job) => job.status === "done" || job.status === "error";

/**
 * @param {string} jobId
 * @param {Listener} listener
 * @returns {() => void} stop following
 */
export function follow(jobId, listener) {
  let stopped = false;
  let reading = false;
  let readAgain = false;
  let highest = 0;
  let failures = 0;
  let timer = 0;
  /** @type {EventSource|null} */
  let stream = null;

  function stop() {
    stopped = true;
    clearTimeout(timer);
    stream?.close();
  }

  function wait() {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(read, stream ? SILENCE_MS : POLL_MS);
  }

  async function read() {
    if (reading) {
      readAgain = true;
      return;
    }
    reading = true;
    try {
      const job = await api.job(jobId);
      if (stopped) return;
      listener.onTrouble(null);
      if (hasEnded(job)) stop();
      listener.onJob(job);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!stopped) onReadFailed(error);
    } finally {
      reading = false;
    }
    if (readAgain && !stopped) {
      readAgain = false;
      await read();
    } else {
      wait();
    }
  }

  /** @param {ApiError} error */
  function onReadFailed(error) {
    if (error.code !== "JOB_NOT_FOUND") return listener.onTrouble(error);
    stop();
    listener.onLost(error);
  }

  function openStream() {
    stream = new EventSource(api.eventsAddress(jobId));
    const on = (/** @type {string} */ name, /** @type {(data: any) => void} */ act) =>
      stream?.addEventListener(name, (event) => {
        failures = 0;
        act(JSON.parse(/** @type {MessageEvent} */ (event).data));
        wait();
      });
    on("state", () => void read());
    on("log", (data) => listener.onLog(data.line));
    on("progress", (data) => {
      if (typeof data.progressPct !== "number" || data.progressPct < highest) return;
      highest = data.progressPct;
      listener.onProgress(highest);
    });
    stream.addEventListener("error", onStreamFailed);
  }

  /** The browser reconnects by itself (with Last-Event-ID) unless the server refused; polling takes over then. */
  function onStreamFailed() {
    failures += 1;
    if (stream?.readyState !== EventSource.CLOSED && failures < STREAM_FAILURES_BORNE) return;
    stream?.close();
    stream = null;
    wait();
  }

  if (!isKeyHeld()) openStream(); // an EventSource sends no key
  void read();
  return stop;
}
