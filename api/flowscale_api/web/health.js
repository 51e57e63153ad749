/** Whether the service can render: a quiet line in the header, a banner in words when it cannot. */

import * as api from "./api.js";
import { byId, make } from "./dom.js";
import { ApiError } from "./http.js";

const WHILE_WELL_MS = 20_000;
const WHILE_ILL_MS = 3000;

/** @param {{ffmpeg: {version: string|null}, queueLength: number}} answer */
function showWell({ ffmpeg, queueLength }) {
  const version = ffmpeg?.version ? `FFmpeg ${ffmpeg.version.split("-")[0]}` : "Ready"; // without the packager's suffix
  const waiting = queueLength > 0 ? `${queueLength} waiting` : "";
  const parts = waiting ? [make("span", { className: "more", textContent: `${version} · ` }), waiting] : [version];
  byId("health").replaceChildren(...parts);
  byId("health").dataset.well = "true";
  byId("banner").hidden = true;
}

/** @param {string} message */
function showIll(message) {
  byId("health").textContent = "";
  byId("health").dataset.well = "false";
  byId("banner-text").textContent = message;
  byId("banner").hidden = false;
}

/** Ask now, and again for as long as the page is open and seen. */
export async function watchHealth() {
  let wait = WHILE_WELL_MS;
  try {
    showWell(await api.health());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showIll(error.message);
    wait = WHILE_ILL_MS;
  }
  setTimeout(whenSeen, wait);
}

function whenSeen() {
  if (!document.hidden) void watchHealth();
  else document.addEventListener("visibilitychange", whenSeen, { once: true });
}
