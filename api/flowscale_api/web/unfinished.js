/**
 * Uploads this browser has begun and not finished, so that the same file goes on where it was after a reload. A file
 * is known again by its name, size and time of its last change: a page is told no more of it without reading it all.
 */

const KEY = "flowscale.uploads";
const KEPT = 20;
const KEPT_MS = 24 * 3600 * 1000; // as long as the server keeps them

/** @typedef {{print: string, id: string, name: string, at: number}} Entry */

const printOf = (/** @type {File} */ file) => JSON.stringify([file.name, file.size, file.lastModified]);

/** @returns {Entry[]} oldest first */
function entries() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((entry) => Date.now() - entry?.at < KEPT_MS) : [];
  } catch {
    return []; // storage is off or holds another's text: uploads then begin anew after a reload
  }
}

/** @param {Entry[]} kept */
function keep(kept) {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept.slice(-KEPT)));
  } catch {
    // storage is off or full: as above
  }
}

/**
 * The id of the file's upload; "" when there is none.
 * @param {File} file
 */
export function recall(file) {
  return String(entries().findLast((entry) => entry.print === printOf(file))?.id ?? "");
}

/**
 * @param {File} file
 * @param {string} id
 */
export function note(file, id) {
  forget(file);
  keep([...entries(), { print: printOf(file), id, name: file.name, at: Date.now() }]);
}

/** @param {File} file */
export function forget(file) {
  keep(entries().filter((entry) => entry.print !== printOf(file)));
}

/** The name of the file whose upload was begun last; "" when none is unfinished. */
export function newestName() {
  return String(entries().at(-1)?.name ?? "");
}
