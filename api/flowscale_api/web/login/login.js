/** Logs in with a key, and goes on to the page that was asked for. Every address is relative: a proxy may have put a
 * prefix before them. */

const form = /** @type {HTMLFormElement} */ (document.getElementById("form"));
const key = /** @type {HTMLInputElement} */ (document.getElementById("key"));
const show = /** @type {HTMLButtonElement} */ (document.getElementById("show"));
const go = /** @type {HTMLButtonElement} */ (document.getElementById("go"));
const fault = /** @type {HTMLElement} */ (document.getElementById("fault"));

goOnIfLoggedIn();
if (new URLSearchParams(location.search).has("ended")) sayThatItEnded();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  go.disabled = true;
  tell("");
  const refusal = await logIn(key.value.trim());
  go.disabled = false;
  if (refusal === null) {
    key.value = "";
    location.replace(following());
  } else {
    tell(refusal);
    key.focus();
    key.select();
  }
});

show.addEventListener("click", () => {
  const shown = key.type === "text";
  key.type = shown ? "password" : "text";
  show.setAttribute("aria-pressed", String(!shown));
  show.textContent = shown ? "Show" : "Hide";
});

/** Whoever follows a link from another site's page comes without the cookie, which goes with our own pages' requests alone:
 * so this one asks again. */
async function goOnIfLoggedIn() {
  try {
    const answer = await fetch("login.json", { cache: "no-store" });
    if (answer.ok && (await answer.json()).loggedIn) location.replace(following());
  } catch {
    return; // what is wrong is said when somebody logs in
  }
}

/** @param {string} text the key @returns {Promise<string|null>} why not, as a sentence; null when it worked */
async function logIn(text) {
  try {
    const answer = await fetch("../api/admin/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key: text }),
    });
    if (answer.ok) return null;
    const { error } = await answer.json();
    return error.message;
  } catch {
    return "The service does not answer. Is it running, and are you online?";
  }
}

/** Whoever was sent here from a page learns why. */
function sayThatItEnded() {
  const ended = /** @type {HTMLElement} */ (document.getElementById("ended"));
  ended.hidden = false;
}

/** @param {string} sentence in which code stands in backticks */
function tell(sentence) {
  const parts = sentence.split("`").map((text, index) => {
    const part = document.createElement(index % 2 ? "code" : "span");
    part.textContent = text;
    return part;
  });
  fault.replaceChildren(...(sentence ? parts : []));
  key.setAttribute("aria-invalid", String(sentence !== ""));
}

/** The page to go on to: what `next` says, if that is one of ours. */
function following() {
  const folder = new URL("./", location.href);
  const wanted = new URL(new URLSearchParams(location.search).get("next") || "queues", folder);
  return wanted.origin === folder.origin && wanted.pathname.startsWith(folder.pathname) ? wanted.href : new URL("queues", folder).href;
}
