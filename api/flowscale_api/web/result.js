/** What a finished render gave: the video itself, its download, and what is known of it. */

import { byId, make, webAddress } from "./dom.js";
import { ago, duration as lengthInWords, fileSize, pictureSize } from "./words.js";

/** @type {HTMLVideoElement} */
const video = byId("job-video");
const download = byId("job-download");

/** @type {import("./api.js").Job|null} */
let shown = null;

/** @param {import("./api.js").Job} job that is done */
export function showResult(job) {
  shown = job;
  const address = webAddress(job.outputUrl);
  download.hidden = address === null;
  byId("job-screen").hidden = address === null;
  if (address && video.getAttribute("src") !== address.href) {
    download.href = address.href;
    download.download = address.pathname.split("/").pop() || "output";
    video.hidden = false;
    byId("job-video-none").hidden = true;
    video.src = address.href;
  }
  showFacts(job);
}

/** @param {import("./api.js").Job} job */
function showFacts(job) {
  /** @type {[string, string|null][]} */
  const facts = [
    ["Size", job.outputSize === undefined ? null : fileSize(job.outputSize)],
    ["Length", Number.isFinite(video.duration) ? lengthInWords(video.duration) : null],
    ["Picture", video.videoWidth ? pictureSize(video.videoWidth, video.videoHeight) : null],
    ["Rendered in", job.durationMs === undefined ? null : lengthInWords(job.durationMs / 1000)],
    ["Finished", job.completedAt ? ago(Date.now() - Date.parse(job.completedAt)) : null],
  ];
  const known = facts.filter(([, text]) => text !== null);
  const rows = known.map(([term, text]) => make("div", {}, make("dt", { textContent: term }), make("dd", { textContent: text })));
  byId("job-facts").replaceChildren(...rows);
  byId("job-facts").hidden = false;
}

export function clearResult() {
  shown = null;
  video.removeAttribute("src");
  video.load();
  for (const id of ["job-screen", "job-facts", "job-download"]) byId(id).hidden = true;
}

export function playResult() {
  void video.play().catch(() => {}); // refused or interrupted: the video's own controls remain
}

/** @param {() => void} onMeasured the picture's size is known: the card has its final height */
export function wireResult(onMeasured) {
  video.addEventListener("loadedmetadata", () => {
    if (!shown) return;
    showFacts(shown);
    onMeasured();
  });
  video.addEventListener("error", () => {
    if (!video.hasAttribute("src")) return;
    video.hidden = true;
    byId("job-video-none").hidden = false;
  });
}
