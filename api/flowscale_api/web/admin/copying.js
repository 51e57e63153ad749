/** Buttons that copy. */

import { announce, make } from "../dom.js";

const SAID_MS = 2000;

/**
 * @param {string} id
 * @param {string} words
 * @param {string} text
 */
export function copyButton(id, words, text) {
  const button = make("button", { type: "button", className: "small copy", id, textContent: words });
  button.addEventListener("click", async () => {
    const done = await copied(text);
    button.textContent = done ? "Copied" : "Not copied";
    announce(done ? "Copied" : "This browser does not let the page copy. Select the text instead.");
    setTimeout(() => (button.textContent = words), SAID_MS);
  });
  return button;
}

/** @param {string} text */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(text); // over plain http browsers have no clipboard for pages, but the older way
  }
}

/** @param {string} text */
function copiedBySelection(text) {
  const field = make("textarea", { value: text, className: "unseen", readOnly: true });
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
