/** Webhooks that told of the job's end, and sending one again. */

import { make } from "../dom.js";
import { replay } from "./actions.js";
import { confirmed } from "./dialog.js";
import { mark } from "./marks.js";
import { timeOf } from "./times.js";

const SHAPES = { delivered: "done", pending: "waiting", failed: "error" };
const STATE_WORDS = { delivered: "Delivered", pending: "To be sent", failed: "Given up" };

/** Whether one of them is still to be sent: no event tells of that. @param {any} job */
export const isSending = (job) => (job.webhooks ?? []).some((/** @type {any} */ each) => each.state === "pending");

/**
 * @param {any} job
 * @param {boolean} readOnly
 * @param {() => void} onDone
 */
export function deliveriesOf(job, readOnly, onDone) {
  const deliveries = job.webhooks ?? [];
  if (!deliveries.length) return null;
  const list = make("ul", { className: "deliveries" }, ...deliveries.map((/** @type {any} */ each) => row(each, readOnly, onDone)));
  const card = make("section", { className: "card" }, make("h2", { id: "webhooks-title", textContent: "Webhooks" }), list);
  card.setAttribute("aria-labelledby", "webhooks-title");
  return card;
}

/**
 * @param {any} delivery
 * @param {boolean} readOnly
 * @param {() => void} onDone
 */
function row(delivery, readOnly, onDone) {
  const shape = SHAPES[/** @type {keyof SHAPES} */ (delivery.state)] ?? "idle";
  const state = make("span", { className: "state" }, mark(shape), STATE_WORDS[/** @type {keyof STATE_WORDS} */ (delivery.state)] ?? delivery.state);
  state.dataset.state = shape;
  const tries = `${delivery.tries} ${delivery.tries === 1 ? "try" : "tries"}`;
  const answered = delivery.lastStatus === null || delivery.lastStatus === undefined ? "" : ` · last answer ${delivery.lastStatus}`;
  const facts = make("p", { className: "note" }, timeOf(delivery.at), ` · ${tries}${answered}`);
  if (delivery.nextAt) facts.append(" · next try ", timeOf(delivery.nextAt));
  const head = make("p", { className: "attempt-head" }, ...(delivery.host ? [make("strong", { className: "host", textContent: delivery.host })] : []), state);
  const words = make("div", {}, head, facts);
  if (delivery.lastError) words.append(make("p", { className: "attempt-message", textContent: delivery.lastError }));
  if (delivery.lastAnswer) words.append(make("pre", { tabIndex: 0, textContent: delivery.lastAnswer }));
  const item = make("li", {}, words);
  if (readOnly) return item;
  const again = make("button", { type: "button", className: "small", id: `replay-${delivery.id}`, textContent: "Send again" });
  again.setAttribute("aria-label", `Send again: webhook ${delivery.id}${delivery.host ? ` to ${delivery.host}` : ""}`);
  again.addEventListener("click", async () => {
    if ((await confirmed(replay(delivery))) !== null) onDone();
  });
  item.append(again);
  return item;
}
