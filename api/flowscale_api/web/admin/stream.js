/**
 * Follow a stream of events for as long as the page is seen: again and again when it is cut off, never when the server
 * says that there is nothing to follow. A stream that is silent for longer than its pings allow counts as cut off.
 */

import { answerOf, ApiError, UNREACHABLE } from "../http.js";
import { openSession } from "./session.js";
import { eventReader } from "./sse.js";

const NO_STREAM = "NO_STREAM"; // a good answer that is none to read on
const SILENCE_MS = 40_000; // the server pings every 15 s
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15_000;

/**
 * @typedef {object} Listener
 * @property {(event: import("./sse.js").ServerEvent) => void} onEvent
 * @property {() => void} [onOpen] the server answers
 * @property {(code: string) => void} [onCut] it does not any more; it is asked again
 * @property {() => void} [onEnd] there is nothing more to come
 */

/**
 * @param {string} address
 * @param {Listener} listener
 * @param {{ends?: boolean}} [kind] `ends`: what the server closes in good order is over
 * @returns {{stop: () => void, hurry: () => void}} `hurry`: ask again now
 */
export function follow(address, listener, { ends = false } = {}) {
  let stopped = false;
  let lastId = "";
  let wait = FIRST_WAIT_MS;
  let timer = 0;
  /** @type {AbortController|null} */
  let request = null;

  function stop() {
    stopped = true;
    clearTimeout(timer);
    request?.abort();
    document.removeEventListener("visibilitychange", onSeen);
    window.removeEventListener("online", hurry);
  }

  function hurry() {
    if (stopped || request) return;
    wait = FIRST_WAIT_MS;
    clearTimeout(timer);
    void run();
  }

  /** A hidden page holds no connection: browsers allow few of them to one host, for all tabs together. */
  function onSeen() {
    if (document.hidden) request?.abort();
    else hurry();
  }

  async function run() {
    request = new AbortController();
    const code = await once(request);
    request = null;
    if (stopped) return;
    if (code === "") {
      stop();
      listener.onEnd?.();
      return;
    }
    listener.onCut?.(code);
    if (document.hidden) return;
    timer = setTimeout(run, wait * (0.75 + Math.random() / 2));
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }

  /** One connection, to its end. @param {AbortController} under @returns {Promise<string>} why it ended; "": it is over */
  async function once(under) {
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => under.abort(), SILENCE_MS);
    };
    heard();
    try {
      const headers = lastId ? { "Last-Event-ID": lastId } : {};
      const answer = await fetch(address, { cache: "no-store", headers, signal: under.signal });
      if (answer.status === 204 || answer.status === 404) return "";
      if (answer.status === 401) {
        await openSession(); // leads to the login page when it is the session that has ended
        return "UNAUTHORIZED";
      }
      if (!answer.ok || !answer.body) return answerOf(answer.status, await answer.text()) && NO_STREAM;
      wait = FIRST_WAIT_MS;
      listener.onOpen?.();
      await read(answer.body, heard);
      return ends ? "" : UNREACHABLE;
    } catch (error) {
      if (error instanceof ApiError) return error.code;
      if (error instanceof TypeError || (error instanceof DOMException && error.name === "AbortError")) return UNREACHABLE;
      throw error;
    } finally {
      clearTimeout(silence);
    }
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {() => void} heard
   */
  async function read(body, heard) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const take = eventReader((event) => {
      lastId = event.id || lastId;
      listener.onEvent(event);
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      take(decoder.decode(value, { stream: true }));
    }
  }

  document.addEventListener("visibilitychange", onSeen);
  window.addEventListener("online", hurry);
  void run();
  return { stop, hurry };
}
