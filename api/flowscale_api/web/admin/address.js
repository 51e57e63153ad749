/**
 * The address holds what is looked at, so that a reload, the way back and a link sent to a colleague show the same.
 * All addresses of this page are relative to its own: it may be served below any path. Pure.
 *
 * @typedef {object} View
 * @property {string} state one of STATES, or "" for all
 * @property {string} q words that are searched for
 * @property {string} job the id of the job that is looked at, or "" for the list
 */

export const STATES = ["waiting", "delayed", "running", "done", "error"];

/** @param {string} search the query of an address @returns {View} */
export function viewOf(search) {
  const words = new URLSearchParams(search);
  const state = words.get("state") ?? "";
  return { state: STATES.includes(state) ? state : "", q: words.get("q") ?? "", job: words.get("job") ?? "" };
}

/** @param {View} view @returns {string} relative to this page */
export function addressOf(view) {
  const words = new URLSearchParams();
  if (view.state) words.set("state", view.state);
  if (view.q) words.set("q", view.q);
  if (view.job) words.set("job", view.job);
  const query = words.toString();
  return query ? `queues?${query}` : "queues";
}

/** Of the login page, which says that a login has ended, and leads back here. */
export function loginAddress() {
  const here = `queues${location.search}`;
  return `login?next=${encodeURIComponent(here)}&ended=yes`;
}
