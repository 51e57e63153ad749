/**
 * One file on its way to the server, whatever happens to the connection: sent in pieces, taken up where the server
 * has got to, paused and resumed by a person, and, after a reload of the page, gone on with when the same file is
 * chosen again. It tries until it has arrived, is stopped, or the server says that it will not have it.
 */

import { ABORTED, ApiError } from "./http.js";
import { Pace } from "./pace.js";
import * as tus from "./tus.js";
import { forget, note, recall } from "./unfinished.js";

const PIECE = 16 * 1024 * 1024; // bytes of one request: what was sent of a longer one shows no sooner as received
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const QUIET_TRIES = 3; // of what is over in a moment, such as the lock of the request before; then it is said
const BEGINNINGS = 4; // a server that loses it again and again would take it for ever
const ENDING_TRIES = 30;

/**
 * @typedef {object} Progress
 * @property {"sending"|"lost"|"paused"|"finishing"} phase
 * @property {number} sent bytes
 * @property {number} total bytes
 * @property {number|null} rate bytes a second; null: not known
 * @property {string} trouble what is waited for, while the phase is "lost"
 * @property {boolean} reached whether the server answers, while the phase is "lost"
 */

const isGone = (/** @type {ApiError} */ error) => error.status === 404 || error.status === 410;
const isBusy = (/** @type {ApiError} */ error) => [408, 409, 423, 425, 429, 460].includes(error.status);
const mayPass = (/** @type {ApiError} */ error) => error.status === 0 || error.status >= 500 || isBusy(error);

const pause = (/** @type {number} */ milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Upload {
  #file;
  #onProgress;
  #id = "";
  /** @type {number|null} what the server has; null: to be asked for */
  #offset = null;
  #sent = 0;
  #furthest = 0;
  #beginnings = 0;
  #tries = 0;
  #trouble = "";
  #reached = true;
  #paused = false;
  #stopped = false;
  #pace = new Pace();
  /** Of the request under way. */
  #request = new AbortController();
  /** Ends the waiting under way. */
  #wake = () => {};

  /**
   * @param {File} file
   * @param {(progress: Progress) => void} onProgress
   */
  constructor(file, onProgress) {
    this.#file = file;
    this.#onProgress = onProgress;
  }

  /** @returns {Promise<string>} the file's path there; fails with an ApiError, of code ABORTED when it was stopped */
  async run() {
    const wake = () => this.#wake();
    addEventListener("online", wake);
    try {
      this.#id = recall(this.#file);
      for (;;) {
        const filePath = await this.#try();
        if (filePath) return filePath;
      }
    } finally {
      removeEventListener("online", wake);
    }
  }

  pause() {
    this.#paused = true;
    this.#interrupt();
  }

  resume() {
    this.#paused = false;
    this.#tries = 0;
    this.#wake();
  }

  /** For good: nothing of it is kept on the server. */
  stop() {
    this.#stopped = true;
    this.#interrupt();
  }

  get paused() {
    return this.#paused;
  }

  #interrupt() {
    this.#request.abort();
    this.#wake();
  }

  /** The next step, and what follows from its failure. @returns {Promise<string>} the path; "" while it goes on */
  async #try() {
    try {
      if (this.#stopped) throw tus.stopped();
      if (this.#paused) {
        this.#tell();
        await this.#waiting();
        return "";
      }
      this.#request = new AbortController();
      return await this.#step(this.#request.signal);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.#stopped) {
        forget(this.#file);
        await this.#end();
        throw tus.stopped();
      }
      this.#offset = null;
      if (error.code === ABORTED) return ""; // paused
      await this.#recover(error);
      return "";
    }
  }

  /** @param {AbortSignal} signal */
  async #step(signal) {
    if (!this.#id) await this.#begin(signal);
    else if (this.#offset === null) await this.#look(signal);
    else if (this.#offset < this.#file.size) await this.#send(this.#offset, signal);
    else {
      const { filePath } = await tus.resultOf(this.#id, signal);
      if (!filePath) throw new ApiError({ code: "NO_ANSWER", message: "The server is still storing the file." }, 423);
      forget(this.#file);
      return filePath;
    }
    return "";
  }

  /** @param {AbortSignal} signal */
  async #begin(signal) {
    this.#tell();
    this.#id = await tus.begin(this.#file, signal);
    this.#beginnings += 1;
    note(this.#file, this.#id);
    this.#furthest = 0;
    this.#reach(0);
  }

  /** @param {AbortSignal} signal */
  async #look(signal) {
    const { offset, total } = await tus.look(this.#id, signal);
    if (total === this.#file.size && offset <= total) this.#reach(offset);
    else this.#id = ""; // not this file's: begin anew
  }

  /**
   * @param {number} offset
   * @param {AbortSignal} signal
   */
  async #send(offset, signal) {
    const piece = this.#file.slice(offset, offset + PIECE);
    const onSent = (/** @type {number} */ bytes) => {
      if (signal.aborted) return;
      this.#trouble = "";
      this.#move(offset + bytes);
    };
    const reached = await tus.send(this.#id, offset, piece, onSent, signal);
    if (reached <= offset) {
      throw new ApiError({ code: "NO_ANSWER", message: "The server kept nothing of what was sent." }, 423);
    }
    this.#reach(reached);
  }

  /** The server has this much. @param {number} offset */
  #reach(offset) {
    this.#offset = offset;
    if (offset > this.#furthest) {
      this.#furthest = offset;
      this.#tries = 0;
      this.#trouble = "";
    }
    this.#move(offset);
  }

  /** @param {number} sent bytes on their way */
  #move(sent) {
    this.#sent = sent;
    this.#pace.mark(performance.now(), sent);
    this.#tell();
  }

  /** Wait, and be ready to ask again. @param {ApiError} error is thrown on when it will not pass */
  async #recover(error) {
    const isLost = isGone(error) && this.#id !== "" && this.#beginnings < BEGINNINGS;
    if (isLost) {
      forget(this.#file);
      this.#id = "";
      this.#sent = 0;
    } else if (!mayPass(error)) {
      forget(this.#file);
      if (this.#id) void this.#end(); // it says why to the person; the server need not keep what is of no use
      throw error;
    }
    this.#pace.reset();
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this.#tries, LONGEST_WAIT_MS);
    this.#tries += 1;
    if (!isLost && !(isBusy(error) && this.#tries <= QUIET_TRIES)) {
      this.#trouble = error.message;
      this.#reached = error.status !== 0;
    }
    this.#tell();
    await this.#waiting(wait);
  }

  /** For a time, or until it is woken. @param {number} [milliseconds] */
  #waiting(milliseconds) {
    return new Promise((done) => {
      const timer = milliseconds === undefined ? 0 : setTimeout(() => done(undefined), milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        done(undefined);
      };
    });
  }

  /** Tell the server that the upload is not wanted. One that cannot be told now is told as soon as it answers. */
  async #end() {
    if (!this.#id || (await this.#isEnded())) return;
    void this.#keepEnding();
  }

  async #keepEnding() {
    for (let tries = 0; tries < ENDING_TRIES; tries += 1) {
      await pause(Math.min(FIRST_WAIT_MS * 2 ** tries, LONGEST_WAIT_MS));
      if (await this.#isEnded()) return;
    }
  }

  async #isEnded() {
    try {
      await tus.end(this.#id);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return !mayPass(error) || error.status === 409; // ended before, or complete
    }
  }

  #phase() {
    if (this.#paused) return "paused";
    if (this.#trouble) return "lost";
    return this.#offset === this.#file.size || this.#sent >= this.#file.size ? "finishing" : "sending";
  }

  #tell() {
    if (this.#stopped) return;
    const phase = this.#phase();
    if (phase === "paused") this.#pace.reset();
    this.#onProgress({
      phase,
      sent: this.#sent,
      total: this.#file.size,
      rate: this.#pace.rate(),
      trouble: this.#trouble,
      reached: this.#reached,
    });
  }
}
