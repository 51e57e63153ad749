/** Points in time and ages, by the server's clock, and one clockwork for all ages on the page. */

import { make } from "../dom.js";
import { elapsed } from "../words.js";

let aheadMs = 0;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const moment = new Intl.DateTimeFormat("en-GB", {
  ...{ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" },
  timeZoneName: "short",
});
const whole = new Intl.NumberFormat("en");

/** @param {string} now what the server's clock says just now */
export function setClock(now) {
  aheadMs = Date.parse(now) - Date.now();
}

/** Unix ms of the server. */
export const serverNow = () => Date.now() + aheadMs;

/** `12,345` @param {number} number */
export const count = (number) => whole.format(number);

/** `14:05` @param {string} iso */
export const hourAndMinute = (iso) => minute.format(Date.parse(iso));

/** `14:05:12`, with the day when it is not today's. @param {string} iso */
export function instant(iso) {
  const at = Date.parse(iso);
  const sameDay = new Date(at).toDateString() === new Date().toDateString();
  return sameDay ? clock.format(at) : `${day.format(at)}, ${clock.format(at)}`;
}

/** `4 s`, `3 min 05 s`, `2 h 10 min`, `3 days` @param {number} ms */
export function age(ms) {
  const hours = ms / 3_600_000;
  return hours < 48 ? elapsed(ms / 1000) : `${Math.floor(hours / 24)} days`;
}

/** `29 Nov 2026, 14:05:12 UTC`: in this browser's zone. @param {string} iso */
export const wholeInstant = (iso) => moment.format(Date.parse(iso));

/** The name of this browser's zone. */
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** With its day and zone beside it, for who points at it. @param {string} iso */
export const timeOf = (iso) => make("time", { dateTime: iso, title: wholeInstant(iso), textContent: instant(iso) });

/** @param {string} iso */
export const wholeTimeOf = (iso) => make("time", { dateTime: iso, title: iso, textContent: wholeInstant(iso) });

/**
 * An age that grows by itself.
 * @param {number} sinceMs Unix ms of the server
 * @param {string} [behind] what is said after it, as in `ago`
 */
export function ageOf(sinceMs, behind = "") {
  const element = make("time", { dateTime: new Date(sinceMs).toISOString(), title: wholeInstant(new Date(sinceMs).toISOString()) });
  element.dataset.since = String(sinceMs);
  element.dataset.behind = behind;
  tick(element);
  return element;
}

/** @param {HTMLElement} element */
function tick(element) {
  const words = [age(Math.max(0, serverNow() - Number(element.dataset.since))), element.dataset.behind];
  const text = words.filter(Boolean).join(" ");
  if (element.textContent !== text) element.textContent = text;
}

setInterval(() => {
  if (!document.hidden) document.querySelectorAll("[data-since]").forEach((element) => tick(/** @type {HTMLElement} */ (element)));
}, 1000);
