/** Whether what is shown is what is: the stream of overviews, and the words for a page that has lost it. */

import { announce, byId } from "../dom.js";
import { UNREACHABLE } from "../http.js";
import { OVERVIEW_EVENTS } from "./admin-api.js";
import { mark } from "./marks.js";
import { follow } from "./stream.js";
import { age, instant, serverNow } from "./times.js";

const WORDS = { connecting: "Connecting", live: "Live", stale: "Not live" };

let lostAt = 0;
let lastNews = "";
let cause = "";

/** @param {keyof WORDS} state */
function show(state) {
  const place = byId("live");
  if (place.dataset.live === state && byId("live-mark").hasChildNodes()) return;
  place.dataset.live = state;
  document.body.dataset.live = state;
  byId("live-words").textContent = WORDS[state];
  byId("live-mark").replaceChildren(mark(state === "connecting" ? "waiting" : state));
  byId("stale").hidden = state !== "stale";
}

function sayHowOld() {
  if (byId("stale").hidden) return;
  const since = age(serverNow() - lostAt);
  const from = lastNews ? `Figures are from ${instant(lastNews)}.` : "Nothing has arrived yet.";
  const what = cause === UNREACHABLE ? "The connection to the gateway was lost" : `The gateway cannot say how the queue stands (${cause}), since`;
  const words = `${what} ${since}${cause === UNREACHABLE ? " ago" : ""}. ${from} It is tried again by itself.`;
  byId("stale-words").textContent = words;
}

/** @param {(overview: import("./admin-api.js").Overview) => void} onOverview */
export function watchOverview(onOverview) {
  show("connecting");
  const stream = follow(OVERVIEW_EVENTS, {
    onOpen: () => {
      if (lostAt) announce("Live again");
      lostAt = 0;
      show("live");
    },
    onEvent: ({ name, data }) => {
      if (name !== "overview") return;
      const overview = JSON.parse(data);
      lastNews = overview.now;
      onOverview(overview);
    },
    onCut: (code) => {
      if (document.hidden) return; // let go by ourselves
      if (!lostAt) {
        lostAt = serverNow();
        announce("Not live: what is shown may be old");
      }
      cause = code;
      show("stale");
      sayHowOld();
    },
  });
  byId("stale-now").addEventListener("click", stream.hurry);
  setInterval(sayHowOld, 1000);
}
