/**
 * The last hour as a picture and as words. Above, what happened in each minute: jobs that came as a line, jobs that
 * ended as bars, failed ones hatched on top. Below, how many waited and ran. A minute without a reading is a gap.
 */

import { byId, make } from "../dom.js";
import { svg } from "./marks.js";
import { count, hourAndMinute } from "./times.js";

const HEIGHT = 176;
const LEFT = 34;
const LABEL_WIDTH = 32; // of `14:05`
const LANES = { flow: { top: 8, height: 80 }, depth: { top: 104, height: 50 } };

/** @typedef {import("./admin-api.js").Point} Point */

/** @type {Point[]} */
let shown = [];
let shownWidth = 0;

/** @param {Point[]} points oldest first */
export function showHour(points) {
  shown = points;
  draw();
}

function draw() {
  const place = byId("hour");
  if (!place.querySelector("figure")) place.replaceChildren(frame());
  const width = Math.max(220, place.clientWidth);
  shownWidth = width;
  byId("hour-picture").replaceChildren(picture(shown, width));
  byId("hour-words").textContent = inWords(shown);
  byId("hour-rows").replaceChildren(...shown.toReversed().map(tableRow));
}

function frame() {
  const key = (/** @type {string} */ kind, /** @type {string} */ words) => {
    const sample = svg("svg", { viewBox: "0 0 14 10", width: 14, height: 10, "aria-hidden": "true" });
    if (kind === "enqueued" || kind === "running") sample.append(svg("path", { d: "M0 5h14", class: `line ${kind}` }));
    else sample.append(svg("rect", { width: 14, height: 10, class: kind }), ...(kind === "failed" ? [hatch(0, 0, 14, 10)] : []));
    return make("li", {}, sample, words);
  };
  const keys = [key("enqueued", "Came"), key("finished", "Done"), key("failed", "Failed"), key("waiting", "Waiting"), key("running", "Running")];
  const head = make("tr", {}, ...["Minute", "Came", "Done", "Failed", "Waiting", "Running"].map((name) => make("th", { scope: "col", textContent: name })));
  const table = make(
    "table",
    {},
    make("caption", { className: "unseen", textContent: "The last hour, minute by minute, newest first" }),
    make("thead", {}, head),
    make("tbody", { id: "hour-rows" }),
  );
  const scroll = make("div", { className: "hour-table", tabIndex: 0 }, table);
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "The last hour as a table");
  return make(
    "figure",
    {},
    make("div", { id: "hour-picture" }),
    make("ul", { className: "keys" }, ...keys),
    make("figcaption", { className: "note", id: "hour-words" }),
    make("details", {}, make("summary", { textContent: "As a table" }), scroll),
  );
}

/** @param {Point[]} points */
function inWords(points) {
  const total = (/** @type {"enqueued"|"done"|"error"} */ name) => points.reduce((sum, point) => sum + (point[name] ?? 0), 0);
  const unread = points.filter(isUnread).length;
  if (unread === points.length) return "Nothing was read in the last hour.";
  const deepest = points.reduce((most, point) => ((point.waiting ?? -1) > (most.waiting ?? -1) ? point : most));
  const came = total("enqueued");
  const failed = total("error");
  const words = [`${count(came)} ${came === 1 ? "job" : "jobs"} came, ${count(total("done"))} ended well, ${count(failed)} in error`];
  if (failed) words[0] += " (one that is retried ends again)"; // so that these may be more than the jobs that came
  if (deepest.waiting) words.push(`at most ${count(deepest.waiting)} waiting, at ${hourAndMinute(deepest.at)}`);
  if (unread) words.push(`${unread} min without a reading`);
  return `${words.join("; ")}.`;
}

/** @param {Point} point */
function tableRow(point) {
  const figures = [point.enqueued, point.done, point.error, point.waiting, point.running];
  const cells = figures.map((figure) => make("td", { textContent: figure === null ? "not read" : count(figure) }));
  return make("tr", {}, make("th", { scope: "row", textContent: hourAndMinute(point.at) }), ...cells);
}

/**
 * @param {Point[]} points
 * @param {number} width px
 */
function picture(points, width) {
  const step = (width - LEFT) / Math.max(1, points.length);
  const x = (/** @type {number} */ index) => LEFT + index * step;
  const flowMost = niceMost(points.map((point) => Math.max(point.enqueued ?? 0, (point.done ?? 0) + (point.error ?? 0))));
  const depthMost = niceMost(points.map((point) => Math.max(point.waiting ?? 0, point.running ?? 0)));
  const flow = (/** @type {number} */ value) => LANES.flow.top + LANES.flow.height * (1 - value / flowMost);
  const depth = (/** @type {number} */ value) => LANES.depth.top + LANES.depth.height * (1 - value / depthMost);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", class: "hour" });
  drawing.setAttribute("aria-label", `Chart of the last hour. ${inWords(points)}`);
  drawing.append(...gaps(points, x));
  drawing.append(...axis(LANES.flow, flowMost, width), ...axis(LANES.depth, depthMost, width), ...hours(points, x, width));
  const foot = LANES.flow.top + LANES.flow.height;
  points.forEach((point, index) => {
    const wide = Math.max(1, step - 1.5);
    if (isUnread(point)) return;
    const done = flow(point.done ?? 0);
    const both = flow((point.done ?? 0) + (point.error ?? 0));
    if (point.done) drawing.append(svg("rect", { x: x(index) + 0.75, y: done, width: wide, height: foot - done, class: "finished" }));
    if (point.error) {
      drawing.append(svg("rect", { x: x(index) + 0.75, y: both, width: wide, height: done - both, class: "failed" }));
      drawing.append(hatch(x(index) + 0.75, both, wide, done - both));
    }
  });
  drawing.append(svg("path", { d: steps(points, (point) => point.enqueued, x, step, flow), class: "line enqueued" }));
  drawing.append(svg("path", { d: steps(points, (point) => point.waiting, x, step, depth, depth(0)), class: "waiting" }));
  drawing.append(svg("path", { d: steps(points, (point) => point.running, x, step, depth), class: "line running" }));
  return drawing;
}

/** @param {Point} point */
const isUnread = (point) => point.enqueued === null && point.waiting === null;

/**
 * One ground for each run of minutes that nothing was read in.
 * @param {Point[]} points
 * @param {(index: number) => number} x
 */
function gaps(points, x) {
  const runs = [];
  points.forEach((point, index) => {
    if (!isUnread(point)) return;
    const last = runs.at(-1);
    if (last?.end === index) last.end = index + 1;
    else runs.push({ begin: index, end: index + 1 });
  });
  return runs.flatMap(({ begin, end }) =>
    Object.values(LANES).map(({ top, height }) => svg("rect", { x: x(begin), y: top, width: x(end) - x(begin), height, class: "unread" })),
  );
}

/** The next of 4, 10, 20, 40, 100, ... at or above all. @param {number[]} values */
function niceMost(values) {
  const most = Math.max(4, ...values);
  const ten = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 10].map((times) => times * ten).find((nice) => nice >= most) ?? most;
}

/**
 * @param {{top: number, height: number}} lane
 * @param {number} most
 * @param {number} width
 */
function axis({ top, height }, most, width) {
  return [0, most / 2, most].flatMap((value) => {
    const y = Math.round(top + height * (1 - value / most)) + 0.5;
    const label = svg("text", { x: LEFT - 6, y: y + 3.5, "text-anchor": "end" }, new Text(shortCount(value)));
    return [svg("path", { d: `M${LEFT} ${y}H${width}`, class: "grid" }), ...(value ? [label] : [])];
  });
}

/** @param {number} value */
const shortCount = (value) => (value >= 1000 ? `${+(value / 1000).toFixed(1)}k` : String(value));

/**
 * @param {Point[]} points
 * @param {(index: number) => number} x
 * @param {number} width
 */
function hours(points, x, width) {
  const labels = [];
  points.forEach((point, index) => {
    if (new Date(Date.parse(point.at)).getMinutes() % 15 !== 0) return;
    // Below its tick, or not at all: beside it, it would be read as another minute's.
    if (x(index) + LABEL_WIDTH / 2 <= width) {
      labels.push(svg("text", { x: x(index), y: HEIGHT - 6, "text-anchor": "middle" }, new Text(hourAndMinute(point.at))));
    }
    labels.push(svg("path", { d: `M${x(index)} ${LANES.depth.top + LANES.depth.height}v5`, class: "grid" }));
  });
  return labels;
}

/**
 * A line with a step at each minute, broken where nothing was read; down to `foot` and closed, if there is one.
 * @param {Point[]} points
 * @param {(point: Point) => number|null} of
 * @param {(index: number) => number} x
 * @param {number} step
 * @param {(value: number) => number} y
 * @param {number} [foot]
 */
function steps(points, of, x, step, y, foot) {
  let path = "";
  let open = false;
  points.forEach((point, index) => {
    const value = of(point);
    if (value === null) {
      if (open && foot !== undefined) path += `V${foot}Z`;
      open = false;
      return;
    }
    const begin = foot === undefined ? `M${x(index)} ${y(value)}` : `M${x(index)} ${foot}V${y(value)}`;
    path += open ? `V${y(value)}` : begin;
    path += `H${x(index) + step}`;
    open = true;
  });
  return open && foot !== undefined ? `${path}V${foot}Z` : path;
}

/**
 * Strokes across a bar, so that it differs from its neighbour without colour too.
 * @param {number} left
 * @param {number} top
 * @param {number} wide
 * @param {number} high
 */
function hatch(left, top, wide, high) {
  let path = "";
  for (let y = 2; y < high; y += 3) path += `M${left} ${top + y}h${wide}`;
  return svg("path", { d: path, class: "hatch" });
}

new ResizeObserver(() => {
  if (shown.length && Math.abs(byId("hour").clientWidth - shownWidth) > 1) draw();
}).observe(byId("hour"));
