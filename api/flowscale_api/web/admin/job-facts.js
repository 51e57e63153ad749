/** What is known of a job: its figures, what was asked for, and what its sources are. */

import { make } from "../dom.js";
import { duration, fileSize, pictureSize } from "../words.js";
import { count, wholeTimeOf } from "./times.js";

/** @typedef {[string, Node|string|null|undefined]} Fact */

/**
 * @param {string} id
 * @param {string} title
 * @param {...Node} parts
 */
function card(id, title, ...parts) {
  const element = make("section", { className: "card" }, make("h2", { id, textContent: title }), ...parts);
  element.setAttribute("aria-labelledby", id);
  return element;
}

/** @param {Fact[]} facts those without a value are left out */
function list(facts) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { className: "pairs" }, ...known.map(([term, value]) => make("div", {}, make("dt", { textContent: term }), make("dd", {}, /** @type {Node|string} */ (value)))));
}

/**
 * How long it waited for its first start since it was queued last: when it was accepted, or retried by a person.
 * @param {any} job
 * @returns {number|null} ms; null where that is not known
 */
function waitOf(job) {
  if (!job.startedAt) return null;
  const started = Date.parse(job.startedAt);
  const times = (/** @type {string} */ what) => (job.timeline ?? []).filter((/** @type {any} */ entry) => entry.what === what).map((/** @type {any} */ entry) => Date.parse(entry.at));
  const queuedAgain = times("queued again").findLast((/** @type {number} */ at) => at <= started);
  if (queuedAgain !== undefined) return started - queuedAgain;
  const isFirst = !times("started").some((/** @type {number} */ at) => at < started);
  return isFirst ? Math.max(0, started - Date.parse(job.createdAt)) : null;
}

/** @param {any} job */
export function factsOf(job) {
  const waited = waitOf(job);
  return card(
    "facts-title",
    "Facts",
    list([
      ["Project", job.projectId],
      ["Priority", job.priority],
      ["Place in line", job.queuePosition ? (job.queuePosition === 1 ? "next" : count(job.queuePosition)) : null],
      ["Worker", job.worker],
      ["Accepted", wholeTimeOf(job.createdAt)],
      ["Waited", waited === null ? null : duration(waited / 1000)],
      ["Started", job.startedAt ? wholeTimeOf(job.startedAt) : null],
      ["Ended", job.completedAt ? wholeTimeOf(job.completedAt) : null],
      ["Took", job.durationMs === null || job.durationMs === undefined ? null : duration(job.durationMs / 1000)],
      ["Trace", job.traceId ? make("code", { textContent: job.traceId }) : null],
    ]),
  );
}

const FIRST = { speed: 1, format: "mp4", quality: "medium" };
const TOLD_APART = new Set(["sources", "timeline", "trim", "speed", "resize", "frameRate", "audio", "format", "quality", "outputName"]);

/** @param {any} job */
export function askedFor(job) {
  const spec = job.spec ?? {};
  const { trim, resize, audio, frameRate, timeline } = spec;
  const rest = Object.entries(spec).filter(([key]) => !TOLD_APART.has(key));
  const raw = make("pre", { tabIndex: 0, textContent: JSON.stringify(spec, null, 2) });
  raw.setAttribute("role", "region");
  raw.setAttribute("aria-label", "The specification as JSON");
  return card(
    "asked-title",
    "Asked for",
    list([
      ["Name", spec.outputName],
      ["Format", `${spec.format ?? FIRST.format}, ${spec.quality ?? FIRST.quality} quality`],
      ["Trim", trim ? `${trim.start ?? 0} s to ${trim.end} s` : null],
      ["Cuts", timeline?.length ? cutsOf(timeline) : null],
      ["Speed", spec.speed && spec.speed !== FIRST.speed ? `${spec.speed}×` : null],
      ["Size", resize ? `${pictureSize(resize.width, resize.height)}, ${resize.fit ?? "contain"}` : "as the source"],
      ["Frames", frameRate ? `${+(frameRate[0] / frameRate[1]).toFixed(3)} per second` : null],
      ["Sound", soundOf(audio)],
      ...rest.map(([key, value]) => /** @type {Fact} */ ([words(key), plain(value)])),
    ]),
    make("details", { id: "spec" }, make("summary", { textContent: "As JSON" }), raw),
  );
}

/** @param {any} audio */
function soundOf(audio) {
  if (!audio) return null;
  if (audio.mute) return "none";
  const parts = [];
  if (audio.volume !== undefined) parts.push(`volume ${Math.round(audio.volume * 100)} %`);
  if (audio.fadeIn) parts.push(`fades in for ${audio.fadeIn} s`);
  if (audio.fadeOut) parts.push(`fades out for ${audio.fadeOut} s`);
  return parts.join(", ");
}

/** @param {any[]} timeline */
function cutsOf(timeline) {
  const cuts = timeline.map((cut) => {
    const seconds = (/** @type {number} */ us) => +(us / 1e6).toFixed(3);
    const speed = cut.speed && cut.speed !== 1 ? `, ${cut.speed}×` : "";
    return make("li", { textContent: `source ${(cut.source ?? 0) + 1}: ${seconds(cut.startUs)} s to ${seconds(cut.endUs)} s${speed}` });
  });
  return make("ol", { className: "cuts" }, ...cuts);
}

/** @param {any} job */
export function sourcesOf(job) {
  const sources = job.sources ?? [];
  if (!sources.length) return null;
  const items = sources.map((/** @type {any} */ source) =>
    make("li", {}, make("p", { className: "source-name", textContent: source.key ?? source.url ?? "" }), source.probe ? list(probeFacts(source)) : make("p", { className: "note", textContent: "Not looked at yet." })),
  );
  return card("sources-title", sources.length === 1 ? "Source" : `${sources.length} sources`, make("ol", { className: "sources" }, ...items));
}

const OF_STREAMS = new Set(["kind", "codec", "width", "height", "pixelFormat", "frameRate", "frames", "channels", "sampleRate"]);

/** Names of containers by FFmpeg's words, where one word means several. */
const CONTAINERS = { mov: { mp4: "MP4", mov: "MOV", m4v: "MP4", "": "MP4 or MOV" }, matroska: { mkv: "Matroska", webm: "WebM", "": "Matroska or WebM" } };

/** As its own name has it, if that may be true. @param {string} container @param {string} name */
function containerWords(container, name) {
  const kinds = /** @type {Record<string, string>|undefined} */ (CONTAINERS[/** @type {keyof CONTAINERS} */ (container)]);
  const extension = name.split(".").pop()?.toLowerCase() ?? "";
  return kinds ? (kinds[extension] ?? kinds[""]) : container;
}

/** What a worker found in a source, one line for each stream. @param {any} source @returns {Fact[]} */
function probeFacts(source) {
  const { container, durationMs, size, streams = [], ...rest } = source.probe;
  const file = [container && containerWords(container, source.key ?? source.url ?? ""), durationMs && duration(durationMs / 1000), size && fileSize(size)].filter(Boolean).join(", ");
  return [
    ["File", file],
    ...streams.map((/** @type {any} */ stream) => [stream.kind === "audio" ? "Sound" : words(String(stream.kind)), streamWords(stream)]),
    ...Object.entries(rest).map(([key, value]) => /** @type {Fact} */ ([words(key), plain(value)])),
  ];
}

/** @param {any} stream */
function streamWords(stream) {
  const parts = [stream.codec];
  if (stream.width) parts.push(pictureSize(stream.width, stream.height));
  if (stream.frameRate) parts.push(`${+Number(stream.frameRate).toFixed(3)} frames per second`);
  if (stream.frames) parts.push(`${count(stream.frames)} frames`);
  if (stream.pixelFormat) parts.push(stream.pixelFormat);
  if (stream.channels) parts.push(`${stream.channels} ${stream.channels === 1 ? "channel" : "channels"}`);
  if (stream.sampleRate) parts.push(`${count(stream.sampleRate)} Hz`);
  const more = Object.entries(stream).filter(([key, value]) => !OF_STREAMS.has(key) && value !== null && value !== false);
  return [...parts, ...more.map(([key, value]) => `${words(key).toLowerCase()} ${plain(value)}`)].join(", ");
}

/** @param {any} value */
const plain = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

/** `outputName` as `Output name` @param {string} key */
function words(key) {
  const parts = key.replaceAll("_", " ").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return parts.charAt(0).toUpperCase() + parts.slice(1);
}
