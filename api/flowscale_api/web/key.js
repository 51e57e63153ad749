/**
 * The key, where the service asks for one (FLOWSCALE_AUTH=keys): asked for when an answer says that it is needed, and
 * kept for this tab alone, until that is closed.
 */

import { byId } from "./dom.js";
import { ApiError } from "./http.js";

const PLACE = "flowscale.key";
const NOT_GIVEN = "This service asks for a key, and none was given. Try again to give one.";
const SENDABLE = /^[\x21-\x7e]+$/; // what a header takes

/** @type {HTMLDialogElement} */
const dialog = byId("key-dialog");
const field = byId("key");

let key = kept();
/** The asking under way. @type {Promise<boolean>|null} */
let asking = null;
/** @type {(given: boolean) => void} */
let settle = () => {};
let declined = false;

function kept() {
  try {
    return sessionStorage.getItem(PLACE) ?? "";
  } catch {
    return ""; // storage is off: it is kept until the page is left
  }
}

/** @param {string} text */
function keep(text) {
  key = text;
  byId("key-change").hidden = !text;
  try {
    sessionStorage.setItem(PLACE, text);
  } catch {
    // as above
  }
}

export const isKeyHeld = () => key !== "";

/** @returns {Record<string, string>} the header that goes with each call */
export const authorization = () => (key ? { Authorization: `Bearer ${key}` } : {});

/** Somebody did something that may need a key: it is asked for again, though that was declined before. */
export function mayAsk() {
  declined = false;
}

/**
 * What the call gives. When it is answered that a key is needed, one is asked for, and it is made again.
 * @template T
 * @param {() => Promise<T>} call one that sends `authorization()`
 * @returns {Promise<T>}
 */
export async function withKey(call) {
  for (;;) {
    const sent = key;
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      if (sent === key && !(await ask(sent ? error.message : ""))) throw new ApiError({ code: error.code, message: NOT_GIVEN }, 401);
    }
  }
}

/** One question for all calls that need the answer. @param {string} fault why the last one was none */
function ask(fault) {
  if (declined) return false;
  asking ??= open(fault).finally(() => (asking = null));
  return asking;
}

/** @param {string} fault @returns {Promise<boolean>} whether one was given */
function open(fault) {
  field.value = "";
  tell(fault);
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => (settle = resolve));
}

/** @param {string} fault */
function tell(fault) {
  byId("key-fault").textContent = fault;
  field.setAttribute("aria-invalid", String(fault !== ""));
}

/** @param {boolean} given */
function close(given) {
  declined = !given;
  dialog.close();
  settle(given);
}

/** @param {() => void} onChange another key is used from now on */
export function wireKey(onChange) {
  byId("key-change").hidden = !key;
  byId("key-change").addEventListener("click", () => {
    mayAsk();
    ask("");
  });
  byId("key-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!SENDABLE.test(text)) {
      tell(text ? "A key has only letters, digits and signs of ASCII, and no spaces: copy it once more." : "Enter the key.");
      field.focus();
      return;
    }
    keep(text);
    close(true);
    onChange();
  });
  byId("key-no").addEventListener("click", () => close(false));
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    close(false);
  });
}
