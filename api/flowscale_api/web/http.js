/**
 * One call over HTTP. Every failure, of the network too, is an ApiError whose message is for people.
 *
 * @typedef {{path: string, message: string}} Fault
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
export async function call(path, request) {
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
