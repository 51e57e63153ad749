/**
 * One question before anything is changed: what will happen, and yes or no. What the server refuses is said in the
 * dialog, which stays open: the same may be tried again, or left.
 *
 * @typedef {object} Action
 * @property {string} title a question
 * @property {string[]} says what will happen, a paragraph each
 * @property {string} yes the words of the button
 * @property {boolean} [grave] something is lost by it
 * @property {boolean} [wide] it is about much at once; as what is grave, it is not one key away
 * @property {boolean} [leaves] what is looked at is gone by it
 * @property {{name: string, label: string, value: string, hint: string}[]} [fields]
 * @property {(values: Record<string, string>) => Promise<any>} perform
 * @property {(answer: any) => string} said what was done, in words
 */

import { byId, make } from "../dom.js";
import { ApiError } from "../http.js";
import { faultOf } from "./advice.js";
import { note } from "./notice.js";

/** @type {HTMLDialogElement} */
const dialog = byId("confirm");
const yes = byId("confirm-yes");
const no = byId("confirm-no");
const fault = byId("confirm-fault");

/** @type {Action|null} */
let asked = null;
let working = false;
/** @type {(answer: any) => void} */
let settle = () => {};

/**
 * @param {Action} action
 * @returns {Promise<any>} what the server answered; null when nothing was done
 */
export function confirmed(action) {
  asked = action;
  byId("confirm-title").textContent = action.title;
  byId("confirm-says").replaceChildren(...action.says.map((text) => make("p", { textContent: text })));
  byId("confirm-fields").replaceChildren(...(action.fields ?? []).map(fieldOf));
  yes.textContent = action.yes;
  yes.classList.toggle("grave", Boolean(action.grave));
  fault.hidden = true;
  setWorking(false);
  dialog.showModal();
  (action.grave || action.wide ? no : yes).focus();
  return new Promise((resolve) => {
    settle = resolve;
  });
}

/** @param {{name: string, label: string, value: string, hint: string}} field */
function fieldOf({ name, label, value, hint }) {
  const id = `confirm-${name}`;
  const input = make("input", { id, name, value, placeholder: hint, autocomplete: "off", spellcheck: false, maxLength: 200 });
  return make("div", { className: "field" }, make("label", { htmlFor: id, textContent: label }), input);
}

/** @param {boolean} now */
function setWorking(now) {
  working = now;
  yes.disabled = no.disabled = now;
  yes.setAttribute("aria-busy", String(now));
}

/** @param {Action} action */
async function perform(action) {
  const inputs = /** @type {HTMLInputElement[]} */ ([...byId("confirm-fields").querySelectorAll("input")]);
  const values = Object.fromEntries(inputs.map((input) => [input.name, input.value.trim()]));
  setWorking(true);
  fault.hidden = true;
  try {
    const answer = await action.perform(values);
    note(action.said(answer), { stays: action.leaves });
    setWorking(false);
    close(answer);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    setWorking(false);
    fault.replaceChildren(...faultOf(error));
    fault.hidden = false;
    no.focus();
  }
}

/** @param {any} answer */
function close(answer) {
  asked = null;
  dialog.close();
  settle(answer);
}

byId("confirm-form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  if (asked && !working) void perform(asked);
});
no.addEventListener("click", () => close(null));
dialog.addEventListener("cancel", (event) => {
  event.preventDefault(); // Escape: not while the server is at work
  if (!working) close(null);
});
