/** The chosen clip: picking and dropping it, its preview from this computer, what the browser can tell of it. */

import { byId } from "./dom.js";
import { duration as lengthInWords, fileSize, pictureSize } from "./words.js";

/**
 * @typedef {object} Clip
 * @property {File} file
 * @property {number|null} duration seconds; null: this browser cannot tell
 * @property {boolean} portrait
 */

/** @type {HTMLInputElement} */
const picker = byId("file");
/** @type {HTMLVideoElement} */
const preview = byId("preview");
const veil = byId("drop-veil");

/** @type {Clip|null} */
let clip = null;
let address = "";

/** @param {File} file */
function choose(file, /** @type {(clip: Clip) => void} */ onClip) {
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(file);
  clip = { file, duration: null, portrait: false };
  byId("source-name").textContent = file.name;
  byId("source-facts").textContent = fileSize(file.size);
  showPlayable(true);
  preview.src = address;
  byId("drop").hidden = true;
  byId("stage").hidden = false;
  onClip(clip);
}

/** @param {boolean} playable */
function showPlayable(playable) {
  preview.hidden = !playable;
  byId("preview-none").hidden = playable;
}

function measured(/** @type {(clip: Clip) => void} */ onClip) {
  if (!clip || clip.duration !== null) return; // the first length counts: a later one would undo a trim
  if (preview.duration === Infinity) {
    preview.currentTime = Number.MAX_SAFE_INTEGER; // a recording without a length: its end is found by going there
    return;
  }
  if (!Number.isFinite(preview.duration)) return;
  if (preview.currentTime > preview.duration - 0.01) preview.currentTime = 0;
  clip = { ...clip, duration: preview.duration, portrait: preview.videoHeight > preview.videoWidth };
  const facts = [fileSize(clip.file.size), lengthInWords(preview.duration)];
  if (preview.videoWidth) facts.push(pictureSize(preview.videoWidth, preview.videoHeight));
  byId("source-facts").textContent = facts.join(" · ");
  onClip(clip);
}

function wireDrop(/** @type {(file: File) => void} */ take) {
  const carriesFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    veil.hidden = true;
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
  });
}

/** @param {(clip: Clip) => void} onClip a clip was chosen, and again once its length is known */
export function wireSource(onClip) {
  const take = (/** @type {File} */ file) => choose(file, onClip);
  picker.addEventListener("change", () => {
    const file = picker.files?.[0];
    if (file) take(file);
    picker.value = ""; // so that the same file can be chosen again
  });
  byId("choose-other").addEventListener("click", () => picker.click());
  wireDrop(take);
  preview.addEventListener("loadedmetadata", () => measured(onClip));
  preview.addEventListener("durationchange", () => measured(onClip));
  preview.addEventListener("error", () => showPlayable(false));
}
