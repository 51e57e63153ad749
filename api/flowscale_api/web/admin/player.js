/** What the job made, to be looked at. It stays the same element while the page is drawn anew, so that it plays on. */

import { make, webAddress } from "../dom.js";
import { duration, fileSize } from "../words.js";

const PICTURE = /\.(png|jpe?g|webp|gif)$/i;

/** As seen from here: what this gateway serves is asked for where this page came from, below any path of a proxy's. @param {URL} address */
function asSeenHere(address) {
  const isOurs = address.origin === location.origin && address.pathname.startsWith("/outputs/");
  return isOurs ? new URL(`..${address.pathname}${address.search}`, document.baseURI) : address;
}

/**
 * @param {any} job
 * @param {Element|null} before the player that is shown
 */
export function playerOf(job, before) {
  const given = webAddress(job.outputUrl ?? undefined);
  if (!given) return null;
  const address = asSeenHere(given).href;
  if (before instanceof HTMLElement && before.dataset.address === address) return before;
  const isPicture = PICTURE.test(given.pathname);
  const none = make("p", { hidden: true, textContent: "This browser cannot show it. Download it to see it." });
  const screen = isPicture
    ? make("img", { alt: "What the job made", src: address })
    : make("video", { controls: true, playsInline: true, preload: "metadata", src: address });
  if (!isPicture) screen.setAttribute("aria-label", "What the job made");
  screen.addEventListener("error", () => {
    screen.hidden = true;
    none.hidden = false;
  });
  const name = given.pathname.split("/").pop() || "output";
  const facts = [job.outputSize && fileSize(job.outputSize), job.outputDurationMs && duration(job.outputDurationMs / 1000)].filter(Boolean);
  const link = make("a", { className: "button", href: address, download: name, textContent: "Download" });
  const foot = make("div", { className: "player-foot" }, make("p", { className: "note", textContent: [name, ...facts].join(" · ") }), link);
  const card = make("section", { className: "card player" }, make("div", { className: "screen" }, screen, none), foot);
  card.setAttribute("aria-label", "Output");
  card.dataset.address = address;
  return card;
}
