/** The options form: reading it, and showing each fault beside the field it is about. */

import { byId } from "./dom.js";
import { selectionOf } from "./request.js";
import { resetTrim, wireTrim } from "./trim.js";
import { duration as lengthInWords } from "./words.js";

/** Where a fault is shown, by its JSON path. The first control that fits the start of the path takes it. */
const PLACES = {
  "trim.start": "start",
  "trim.end": "end",
  trim: "end",
  "resize.width": "width",
  "resize.height": "height",
  "resize.fit": "fit",
  resize: "size",
  quality: "quality",
  format: "format",
  speed: "speed",
  audio: "volume",
  sourcePath: "source",
};

/** @type {HTMLFormElement} */
const form = byId("form");
/** @type {HTMLVideoElement} */
const preview = byId("preview");

/** @type {import("./source.js").Clip|null} */
let clip = null;

/** @param {string} id */
const typed = (id) => ({ text: byId(id).value, bad: byId(id).validity.badInput });

/** @param {string} name */
const picked = (name) => /** @type {HTMLInputElement} */ (form.querySelector(`[name=${name}]:checked`)).value;

/** @returns {import("./request.js").Values} */
export function readForm() {
  return {
    start: typed("start"),
    end: typed("end"),
    duration: clip?.duration ?? null,
    portrait: clip?.portrait ?? false,
    size: picked("size"),
    width: typed("width"),
    height: typed("height"),
    fit: byId("fit").value,
    quality: picked("quality"),
    format: picked("format"),
    speed: Number(byId("speed").value),
    volume: Number(byId("volume").value),
    mute: byId("mute").checked,
  };
}

/** @param {import("./source.js").Clip} chosen */
export function setClip(chosen) {
  clip = chosen;
  clearFaults();
  resetTrim(chosen.duration);
  refresh();
}

/** What follows from the fields: which are in use, values in words, how the preview plays. */
function refresh() {
  const values = readForm();
  byId("custom").hidden = values.size !== "custom";
  byId("speed-value").textContent = `${values.speed}×`;
  byId("volume-value").textContent = values.mute ? "off" : `${values.volume} %`;
  byId("volume").disabled = values.mute;
  preview.playbackRate = values.speed;
  preview.muted = values.mute;
  preview.volume = Math.min(1, values.volume / 100);
  byId("length").textContent = outputLength(values);
}

/** @param {import("./request.js").Values} values */
function outputLength(values) {
  const { start, end } = selectionOf(values);
  const last = end ?? values.duration;
  if (last === null || last <= start) return "";
  return `Output: ${lengthInWords((last - start) / values.speed)}`;
}

/** The place of the fault, or null when no field here is about it. @param {string} path such as `$.trim.end` */
function placeOf(path) {
  const plain = path.replace(/^\$\.?/, "");
  const found = Object.entries(PLACES).find(([start]) => plain === start || plain.startsWith(`${start}.`));
  return found ? found[1] : null;
}

/** @param {string} text */
function asSentence(text) {
  const words = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(words) ? words : `${words}.`;
}

/**
 * Show each fault at its field and go to the first.
 * @param {import("./http.js").Fault[]} faults
 * @returns {import("./http.js").Fault[]} those no field here is about
 */
export function showFaults(faults) {
  clearFaults();
  const homeless = [];
  for (const fault of faults) {
    const place = placeOf(fault.path);
    if (place) showFault(place, asSentence(fault.message));
    else homeless.push(fault);
  }
  const first = /** @type {HTMLElement|null} */ (form.querySelector("[aria-invalid=true]"));
  first?.focus();
  return homeless;
}

/**
 * @param {string} place
 * @param {string} message
 */
function showFault(place, message) {
  if (place === "width" || place === "height" || place === "fit") byId("custom").hidden = false;
  byId(`${place}-fault`).textContent = message;
  const control = document.getElementById(place) ?? form.querySelector(`[name=${place}]:checked`);
  control?.setAttribute("aria-invalid", "true");
}

export function clearFaults() {
  for (const element of form.querySelectorAll(".fault")) element.textContent = "";
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}

/** @param {() => void} onChange any option is another one */
export function wireForm(onChange) {
  const changed = () => {
    clearFaults();
    refresh();
    onChange();
  };
  wireTrim(changed);
  form.addEventListener("input", changed);
}
