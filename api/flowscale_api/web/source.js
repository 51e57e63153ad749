/** The chosen clip: picking and dropping it, its preview from this computer, what the browser can tell of it. */

import { announce, byId } from "./dom.js";
import { BYTES_LOOKED_AT, mayBeTaken } from "./kinds.js";
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

const NOT_PLAYED = byId("preview-none").textContent;
const NOT_TAKEN = "This does not look like a video or a picture that can be rendered, and will most likely be refused. MP4, WebM, MOV, AVI, MKV, JPEG, PNG and WebP are taken.";

/** Say at once what the server would say after the upload. @param {File} file */
async function look(file) {
  let isFine = true;
  try {
    isFine = mayBeTaken(new Uint8Array(await file.slice(0, BYTES_LOOKED_AT).arrayBuffer()));
  } catch {
    return; // it cannot be read now: sending it will say why
  }
  if (isFine || clip?.file !== file) return;
  byId("preview-none").textContent = NOT_TAKEN;
  announce(NOT_TAKEN);
}

/** @param {File} file */
function choose(file, /** @type {(clip: Clip) => void} */ onClip) {
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(file);
  clip = { file, duration: null, portrait: false };
  byId("source-name").textContent = file.name;
  byId("source-facts").textContent = fileSize(file.size);
  showPlayable(true);
  byId("preview-none").textContent = NOT_PLAYED;
  void look(file);
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
