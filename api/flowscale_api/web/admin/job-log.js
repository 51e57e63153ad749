/** The log of the execution under way, growing line by line. */

import { make } from "../dom.js";

const LINES_SHOWN = 200;

/** @param {any} job */
export function logOf(job) {
  const lines = job.logsTail ?? [];
  if (!lines.length && job.state !== "running") return null;
  const before = document.getElementById("log-lines")?.textContent ?? "";
  const text = job.state === "running" && before.split("\n").length > lines.length ? before : lines.join("\n");
  const box = make("pre", { id: "log-lines", tabIndex: 0, textContent: text });
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Log");
  const details = make("details", { id: "log", open: job.state === "running" }, make("summary", { textContent: "Log" }), box);
  return make("section", { className: "card" }, details);
}

/** @param {string} line */
export function addLine(line) {
  const box = document.getElementById("log-lines");
  if (!box) return;
  const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
  const lines = [...(box.textContent ? box.textContent.split("\n") : []), line].slice(-LINES_SHOWN);
  box.textContent = lines.join("\n");
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}
