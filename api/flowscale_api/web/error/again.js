/** Asks for this page again and again, and shows it as soon as it is another one than this. */

const EVERY_MS = 3000;
const SERVER_ERRORS = 500;

async function isBack() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" } });
    return answer.status < SERVER_ERRORS;
  } catch {
    return false; // the gateway is gone too, or we are offline
  }
}

async function ask() {
  if (!document.hidden && (await isBack())) location.reload();
  else setTimeout(ask, EVERY_MS);
}

setTimeout(ask, EVERY_MS);
