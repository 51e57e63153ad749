/**
 * Server-Sent Events (HTML Standard, 9.2) out of pieces of text. Pure. The browser's own EventSource keeps from us
 * both the server's status and its pings: with it a session that ended looks like an outage, and a line that went
 * dead like a queue at rest.
 *
 * @typedef {{name: string, data: string, id: string}} ServerEvent
 */

/** @param {(event: ServerEvent) => void} onEvent @returns {(text: string) => void} to be given every piece in order */
export function eventReader(onEvent) {
  let rest = "";
  let name = "";
  let id = "";
  /** @type {string[]} */
  let data = [];

  /** @param {string} line */
  function take(line) {
    if (line === "") {
      if (data.length) onEvent({ name: name || "message", data: data.join("\n"), id });
      name = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment: that it came is all it says
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
    else if (field === "id") id = value;
  }

  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    lines.forEach(take);
  };
}
