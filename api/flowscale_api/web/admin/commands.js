/** FFmpeg's command lines, exactly as they were run, in the form a shell takes them. */

import { make } from "../dom.js";
import { copyButton } from "./copying.js";

const WHOLE = 32; // characters that fit on a line of a phone
const HARMLESS = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** @param {string} word */
const quoted = (word) => (HARMLESS.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** One word, or several of them. @param {any} command @returns {string[][]} */
const commandsIn = (command) => (!command?.length ? [] : Array.isArray(command[0]) ? command : [command]);

/** Lines break between words only, where a word fits on one. @param {string} word */
const wordOf = (word) => make("span", { className: word.length < WHOLE ? "whole" : "", textContent: quoted(word) });

/** @param {any} job */
export function commandsOf(job) {
  const commands = commandsIn(job.command);
  if (!commands.length) return null;
  const many = commands.length > 1;
  const parts = commands.map((argv, index) => {
    const text = argv.map(quoted).join(" ");
    const lines = make("pre", { tabIndex: 0, className: "command" }, ...argv.flatMap((word) => [wordOf(word), " "]).slice(0, -1));
    lines.setAttribute("role", "region");
    lines.setAttribute("aria-label", many ? `FFmpeg command ${index + 1} of ${commands.length}` : "FFmpeg command");
    return make("div", {}, lines, copyButton(`copy-command-${index}`, "Copy command", text));
  });
  const title = make("h2", { id: "command-title", textContent: many ? `${commands.length} FFmpeg commands` : "FFmpeg command" });
  const card = make("section", { className: "card commands" }, title, ...parts);
  card.setAttribute("aria-labelledby", "command-title");
  return card;
}
