/** A state as people see it: a word, and a shape that tells it without colour. */

const SVG = "http://www.w3.org/2000/svg";

/** On a square of 16. A path that begins with `-` is drawn as a line, the others are filled. */
const SHAPES = {
  waiting: ["-M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11"],
  delayed: ["-M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11", "-M8 5v3.2l2.2 1.6"],
  running: ["M4.5 2.6v10.8l9-5.4z"],
  done: ["-M2.8 8.6l3.4 3.4l7-7.6"],
  error: ["-M3.6 3.6l8.8 8.8M12.4 3.6l-8.8 8.8"],
  cancelled: ["-M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11", "-M4.2 11.8l7.6-7.6"],
  paused: ["M4 3h3v10h-3zM9 3h3v10h-3z"],
  stale: ["-M8 2.2l6.4 11.3h-12.8z", "-M8 6.4v3.2M8 11.2v.6"],
  live: ["M8 3.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9"],
  idle: ["-M3 8h10"],
  all: ["-M2.5 4h11M2.5 8h11M2.5 12h11"],
};

export const STATE_WORDS = {
  waiting: "Waiting",
  delayed: "Delayed",
  running: "Running",
  done: "Done",
  error: "Failed",
  cancelled: "Cancelled",
};

/** A job's state as people name it: cancelled jobs are no failures. @param {{state: string, error?: {code: string}|null}} job */
export const stateOf = (job) => (job.error?.code === "CANCELLED" ? "cancelled" : job.state);

/** @param {string} state */
export const stateWord = (state) => STATE_WORDS[/** @type {keyof STATE_WORDS} */ (state)] ?? state;

/** @param {string} name of a shape @returns {SVGSVGElement} */
export function mark(name) {
  const picture = svg("svg", { viewBox: "0 0 16 16", width: "16", height: "16", class: "mark", "aria-hidden": "true" });
  for (const path of SHAPES[/** @type {keyof SHAPES} */ (name)] ?? SHAPES.idle) {
    const isLine = path.startsWith("-");
    picture.append(svg("path", { d: isLine ? path.slice(1) : path, class: isLine ? "stroke" : "solid" }));
  }
  return /** @type {SVGSVGElement} */ (picture);
}

/**
 * @param {string} tag
 * @param {Record<string, string|number>} attributes
 * @param {...Node} children
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
