/** How fast bytes went lately. Pure: the caller brings the time. */

const WINDOW_MS = 6000;
const LEAST_MS = 1000; // below it a rate says nothing

export class Pace {
  /** @type {[number, number][]} time in ms, bytes so far; oldest first */
  #marks = [];

  /**
   * @param {number} now ms
   * @param {number} bytes so far; fewer than before when some were lost, which starts the measuring anew
   */
  mark(now, bytes) {
    if (bytes < (this.#marks.at(-1)?.[1] ?? 0)) this.#marks = [];
    this.#marks.push([now, bytes]);
    while (this.#marks.length > 2 && now - this.#marks[0][0] > WINDOW_MS) this.#marks.shift();
  }

  /** Begin anew: what comes next has nothing to do with what was. */
  reset() {
    this.#marks = [];
  }

  /** Bytes a second; null as long as it cannot be told. */
  rate() {
    const first = this.#marks[0];
    const last = this.#marks.at(-1);
    if (!first || !last || last[0] - first[0] < LEAST_MS) return null;
    return ((last[1] - first[1]) * 1000) / (last[0] - first[0]);
  }
}
