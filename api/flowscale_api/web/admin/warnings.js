/** What is known of the queue's server, and what is wrong with it. */

import { byId, make } from "../dom.js";
import { fileSize } from "../words.js";

let said = "";

/** @param {import("./admin-api.js").Overview} overview */
export function showWarnings({ server, warnings }) {
  byId("server").textContent = inWords(server);
  const text = JSON.stringify(warnings);
  if (text === said) return;
  said = text;
  byId("warnings").hidden = warnings.length === 0;
  byId("warnings-list").replaceChildren(...warnings.map((warning) => make("li", { textContent: warning })));
}

/** @param {import("./admin-api.js").Overview["server"]} server */
function inWords(server) {
  if (server.kind === "memory") return "Queue in memory"; // what that means is the warning's to say
  const memory = server.memoryBytes === null ? "memory not known" : `${fileSize(server.memoryBytes)} used`;
  const limit = server.memoryLimitBytes ? `of ${fileSize(server.memoryLimitBytes)}` : "";
  const name = server.version ?? "redis"; // it says which one it is: `redis 7.0.15`, `valkey 8.1.1`
  const words = [name.charAt(0).toUpperCase() + name.slice(1), `${memory} ${limit}`.trim()];
  if (server.policy) words.push(`policy ${server.policy}`);
  if (server.persistence) words.push(`persistence ${server.persistence}`);
  return words.join(" · ");
}
