/**
 * Resumable uploads (tus 1.0) as functions: one request each. Every failure is an ApiError; one that was asked for by
 * the signal has the code ABORTED. XMLHttpRequest, because fetch does not report how much has been sent.
 */

import { ABORTED, answerOf, ApiError, unreachable } from "./http.js";
import { authorization, withKey } from "./key.js";

const ADDRESS = "/api/uploads";
const VERSION = { "Tus-Resumable": "1.0.0" };
const SILENT_MS = 30_000; // a connection on which nothing moves for so long is given up
const STORING_MS = 180_000; // and one whose last byte was sent: the server may have a large file to store

export const stopped = () => new ApiError({ code: ABORTED, message: "The upload was stopped." });

const pathOf = (/** @type {string} */ id) => `${ADDRESS}/${encodeURIComponent(id)}`;

/**
 * @typedef {{headers?: Record<string, string>, body?: Blob, onSent?: (bytes: number) => void, signal?: AbortSignal}} How
 */

/**
 * @param {string} method
 * @param {string} path
 * @param {How} [how]
 * @returns {Promise<XMLHttpRequest>} answered with a status below 400
 */
const exchange = (method, path, how) => withKey(() => once(method, path, how));

/**
 * @param {string} method
 * @param {string} path
 * @param {How} [how]
 * @returns {Promise<XMLHttpRequest>}
 */
function once(method, path, { headers = {}, body, onSent, signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(stopped());
      return;
    }
    const request = new XMLHttpRequest();
    let asked = false; // to stop, by the signal
    let watchdog = 0;
    const watch = (/** @type {number} */ milliseconds) => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => request.abort(), milliseconds);
    };
    const stop = () => {
      asked = true;
      request.abort();
    };
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("abort", () => reject(asked ? stopped() : unreachable()));
    request.addEventListener("load", () => {
      if (request.status < 400) resolve(request);
      else reject(refusalOf(request));
    });
    request.addEventListener("loadend", () => {
      clearTimeout(watchdog);
      signal?.removeEventListener("abort", stop);
    });
    signal?.addEventListener("abort", stop);
    request.open(method, path);
    for (const [name, value] of Object.entries({ ...VERSION, ...authorization(), ...headers })) request.setRequestHeader(name, value);
    if (body) {
      request.upload.addEventListener("progress", (event) => {
        watch(SILENT_MS);
        onSent?.(event.loaded);
      });
      request.upload.addEventListener("load", () => watch(STORING_MS));
    }
    watch(SILENT_MS);
    request.send(body);
  });
}

/** @param {XMLHttpRequest} request */
function refusalOf(request) {
  try {
    answerOf(request.status, request.responseText);
  } catch (error) {
    return error;
  }
  throw new Error("the server refused and said that all is well"); // answerOf throws for whatever is not ok
}

/** @param {XMLHttpRequest} request */
function offsetIn(request) {
  const offset = Number.parseInt(request.getResponseHeader("Upload-Offset") ?? "", 10);
  if (offset >= 0) return offset;
  throw new ApiError({ code: "NO_ANSWER", message: "The server did not say how far the upload is." }, request.status);
}

/** Text as Base64 of its UTF-8. @param {string} text */
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/**
 * @param {File} file
 * @param {AbortSignal} signal
 * @returns {Promise<string>} the upload's id
 */
export async function begin(file, signal) {
  const headers = { "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(file.name)}` };
  const answer = await exchange("POST", ADDRESS, { headers, signal });
  const id = answer.getResponseHeader("Location")?.split("/").filter(Boolean).pop();
  if (id) return id;
  throw new ApiError({ code: "NO_ANSWER", message: "The server did not say where the upload goes." }, answer.status);
}

/**
 * How much of the upload the server has.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<{offset: number, total: number}>} bytes
 */
export async function look(id, signal) {
  const answer = await exchange("HEAD", pathOf(id), { signal });
  return { offset: offsetIn(answer), total: Number(answer.getResponseHeader("Upload-Length")) };
}

/**
 * @param {string} id
 * @param {number} offset where the piece belongs
 * @param {Blob} piece
 * @param {(bytes: number) => void} onSent of the piece
 * @param {AbortSignal} signal
 * @returns {Promise<number>} how much of the upload the server has then
 */
export async function send(id, offset, piece, onSent, signal) {
  const headers = { "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
  return offsetIn(await exchange("PATCH", pathOf(id), { headers, body: piece, onSent, signal }));
}

/**
 * What the server has made of a complete upload.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<{filePath?: string}>}
 */
export async function resultOf(id, signal) {
  const answer = await exchange("GET", pathOf(id), { signal });
  return answerOf(answer.status, answer.responseText);
}

/** Have the server remove what it has. @param {string} id */
export const end = (id) => exchange("DELETE", pathOf(id));
