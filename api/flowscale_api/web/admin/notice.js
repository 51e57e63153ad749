/** What was just done, in one line that stays until it is dismissed, or until something else is done. */

import { announce, byId } from "../dom.js";

/** @param {string} words */
export function note(words) {
  byId("notice-words").textContent = words;
  byId("notice").hidden = false;
  announce(words);
}

export function clearNotice() {
  byId("notice").hidden = true;
}

byId("notice-close").addEventListener("click", () => {
  clearNotice();
  byId("main").focus();
});
