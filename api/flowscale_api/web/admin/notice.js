/**
 * What was just done, in one line. It stays until it is dismissed, until something else is done or looked at, or until
 * what it says is overtaken.
 */

import { announce, byId } from "../dom.js";

let stays = false;

/**
 * @param {string} words
 * @param {{stays?: boolean}} [how] `stays`: through the next change of what is looked at, which is part of it
 */
export function note(words, how = {}) {
  byId("notice-words").textContent = words;
  byId("notice").hidden = false;
  stays = Boolean(how.stays);
  announce(words);
}

export function clearNotice() {
  byId("notice").hidden = true;
}

/** Something else is looked at. */
export function leaveNotice() {
  if (!stays) clearNotice();
  stays = false;
}

byId("notice-close").addEventListener("click", () => {
  clearNotice();
  byId("main").focus();
});
