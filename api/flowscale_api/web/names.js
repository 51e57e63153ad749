/**
 * What a job is called here. This browser remembers the names of the clips it sent; jobs of others are called by their
 * label, or by the end of their id.
 */

const KEY = "flowscale.names";
const KEPT = 50;

/** @returns {[string, string][]} job id and name, oldest first */
function remembered() {
  try {
    const entries = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(entries) ? entries : [];
  } catch {
    return []; // storage is off or holds another's text: names are a convenience, the page works without
  }
}

/**
 * @param {string} jobId
 * @param {string} name
 */
export function remember(jobId, name) {
  const entries = [...remembered(), [jobId, name]].slice(-KEPT);
  try {
    localStorage.setItem(KEY, JSON.stringify(entries));
  } catch {
    // storage is off or full: as above
  }
}

/** @param {import("./api.js").Job} job */
export function nameOf(job) {
  const found = remembered().findLast(([jobId]) => jobId === job.jobId);
  if (found) return String(found[1]);
  return job.label || `Render …${job.jobId.slice(-6)}`;
}

/** The label a clip's render is given: its own name without the extension. @param {string} fileName */
export function labelFor(fileName) {
  return fileName.replace(/\.[^.]{1,5}$/, "").slice(0, 100) || fileName.slice(0, 100);
}
