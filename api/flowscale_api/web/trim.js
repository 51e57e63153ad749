/**
 * The trim control: two number fields that hold the truth, a slider with two thumbs that follows them, buttons that
 * take the preview's position. A clip the browser cannot play leaves only the number fields.
 */

import { byId } from "./dom.js";
import { duration as lengthInWords } from "./words.js";

/** Seconds the thumbs stay apart: one step of the slider. */
const APART = 0.1;

const start = byId("start");
const end = byId("end");
const range = byId("range");
const startRange = byId("start-range");
const endRange = byId("end-range");
/** @type {HTMLVideoElement} */
const preview = byId("preview");

/** @type {number|null} seconds */
let clipLength = null;
let stopAt = Infinity;

/** Rounded down, so that the clip's end never lies after itself; the sliver keeps 0.29 from becoming 0.28. */
const hundredths = (/** @type {number} */ seconds) => String(Math.floor(seconds * 100 + 1e-6) / 100);

/** Start over for a clip. @param {number|null} seconds its length; null: not known */
export function resetTrim(seconds) {
  clipLength = seconds;
  stopAt = Infinity;
  start.value = seconds === null ? "" : "0";
  end.value = seconds === null ? "" : hundredths(seconds);
  const known = seconds !== null;
  range.hidden = !known;
  for (const id of ["start-here", "end-here"]) byId(id).disabled = !known;
  byId("play-selection").hidden = !known;
  for (const slider of [startRange, endRange]) slider.max = known ? hundredths(seconds) : "1";
  drawRange();
}

/** Put the thumbs where the fields say; a field that cannot be read leaves its thumb alone. */
function drawRange() {
  if (clipLength === null || clipLength === 0) return;
  if (start.value !== "") startRange.value = start.value;
  endRange.value = end.value === "" ? endRange.max : end.value;
  const share = (/** @type {string} */ value) => Number(value) / Number(endRange.max);
  range.style.setProperty("--from", String(share(startRange.value)));
  range.style.setProperty("--to", String(share(endRange.value)));
  // Where both thumbs meet at the right edge, the one that can still move must lie on top.
  startRange.style.zIndex = share(startRange.value) > 0.5 ? "3" : "1";
  for (const slider of [startRange, endRange]) {
    slider.setAttribute("aria-valuetext", lengthInWords(Number(slider.value)));
  }
}

function onStartRange() {
  const seconds = Math.max(0, Math.min(Number(startRange.value), Number(endRange.value) - APART));
  startRange.value = String(seconds);
  start.value = hundredths(seconds);
  showFrame(seconds);
}

function onEndRange() {
  const seconds = Math.max(Number(endRange.value), Number(startRange.value) + APART);
  endRange.value = String(seconds);
  // The slider's last step may fall short of the clip's end; the end means all of it.
  const isLast = seconds > Number(endRange.max) - APART;
  end.value = isLast ? endRange.max : hundredths(seconds);
  showFrame(seconds);
}

/** @param {number} seconds */
function showFrame(seconds) {
  stopAt = Infinity;
  preview.pause();
  preview.currentTime = seconds;
}

function playSelection() {
  preview.currentTime = Number(start.value) || 0;
  stopAt = end.value === "" ? Infinity : Number(end.value);
  void preview.play().catch(() => {}); // refused or interrupted: the video's own controls remain
}

function onPlayed() {
  if (preview.currentTime < stopAt) return;
  stopAt = Infinity;
  preview.pause();
}

/** @param {() => void} onChange the selection is another one */
export function wireTrim(onChange) {
  const changed = (/** @type {() => void} */ act) => () => {
    act();
    drawRange();
    onChange();
  };
  start.addEventListener("input", changed(() => {}));
  end.addEventListener("input", changed(() => {}));
  startRange.addEventListener("input", changed(onStartRange));
  endRange.addEventListener("input", changed(onEndRange));
  byId("start-here").addEventListener("click", changed(() => (start.value = hundredths(preview.currentTime))));
  byId("end-here").addEventListener("click", changed(() => (end.value = hundredths(preview.currentTime))));
  byId("play-selection").addEventListener("click", playSelection);
  preview.addEventListener("timeupdate", onPlayed);
  preview.addEventListener("seeking", onPlayed);
}
