/**
 * From what the form holds to what is sent: the checks a person wants to hear of before anything is sent, the
 * options that differ from the defaults, and the same as curl commands. Pure. The server checks all of it again, and has limits that are not repeated here.
 *
 * @typedef {{text: string, bad: boolean}} Typed what a number field holds; bad: not a number
 * @typedef {object} Values
 * @property {Typed} start seconds
 * @property {Typed} end seconds; empty: to the end
 * @property {number|null} duration of the clip in seconds; null when the browser cannot tell
 * @property {boolean} portrait whether the clip is higher than wide
 * @property {string} size keep, custom, or the short side in pixels
 * @property {Typed} width pixels
 * @property {Typed} height pixels
 * @property {string} fit
 * @property {string} quality
 * @property {string} format
 * @property {number} speed
 * @property {number} volume percent
 * @property {boolean} mute
 * @typedef {import("./http.js").Fault} Fault
 */

/** Long side in pixels for each short side, 16:9 made even. */
const LONG_SIDE = { 1080: 1920, 720: 1280, 480: 854 };

/** An end this close to the clip's own end (seconds) is the end: number fields show hundredths. */
const SAME_END = 0.011;

/**
 * @param {Values} values
 * @returns {{options: Record<string, any>, faults: Fault[]}}
 */
export function optionsOf(values) {
  /** @type {Fault[]} */
  const faults = [];
  const options = {
    trim: trimOf(values, faults),
    resize: resizeOf(values, faults),
    quality: values.quality === "medium" ? undefined : values.quality,
    format: values.format === "mp4" ? undefined : values.format,
    speed: values.speed === 1 ? undefined : values.speed,
    audio: audioOf(values),
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { options: Object.fromEntries(given), faults };
}

/**
 * Start and end in seconds as far as they can be read; end is null when it is the clip's own.
 * @param {Values} values
 */
export function selectionOf(values) {
  const start = numberIn(values.start) ?? 0;
  const typed = numberIn(values.end);
  const isOwn = typed === null || (values.duration !== null && Math.abs(typed - values.duration) < SAME_END);
  return { start, end: isOwn ? null : typed };
}

/** @param {Typed} typed */
function numberIn(typed) {
  return typed.bad || typed.text.trim() === "" ? null : Number(typed.text);
}

/**
 * @param {Values} values
 * @param {Fault[]} faults
 */
function trimOf(values, faults) {
  const { start, end } = selectionOf(values);
  const { duration } = values;
  const fault = (/** @type {string} */ path, /** @type {string} */ message) => void faults.push({ path, message });
  const notANumber = "Enter a time in seconds, for example 1.5.";

  if (values.start.bad) fault("trim.start", notANumber);
  else if (start < 0) fault("trim.start", "The start cannot lie before the clip begins: enter 0 or more.");
  else if (duration !== null && start >= duration) {
    fault("trim.start", `The clip is ${duration.toFixed(2)} s long: the start must lie before that.`);
  }

  if (values.end.bad) fault("trim.end", notANumber);
  else if (end !== null && end <= start) fault("trim.end", "The end must come after the start.");
  else if (end !== null && duration !== null && end > duration) {
    fault("trim.end", `The clip is ${duration.toFixed(2)} s long: the end cannot lie after that.`);
  }

  if (start === 0 && end === null) return undefined;
  if (end !== null) return { start, end };
  if (duration === null && !values.end.bad) {
    fault("trim.end", "This browser cannot tell the clip's length: enter the end too.");
  }
  return { start, end: Math.floor((duration ?? 0) * 1000) / 1000 };
}

/**
 * @param {Values} values
 * @param {Fault[]} faults
 */
function resizeOf(values, faults) {
  if (values.size === "keep") return undefined;
  if (values.size !== "custom") {
    const short = Number(values.size);
    const long = LONG_SIDE[/** @type {keyof typeof LONG_SIDE} */ (short)];
    const [width, height] = values.portrait ? [short, long] : [long, short];
    return { width, height, fit: "inside" };
  }
  const width = pixelsIn(values.width, "width", faults);
  const height = pixelsIn(values.height, "height", faults);
  return values.fit === "contain" ? { width, height } : { width, height, fit: values.fit };
}

/**
 * @param {Typed} typed
 * @param {string} name
 * @param {Fault[]} faults
 */
function pixelsIn(typed, name, faults) {
  const pixels = numberIn(typed);
  if (pixels !== null && Number.isInteger(pixels) && pixels > 0) return pixels;
  faults.push({ path: `resize.${name}`, message: `Enter the ${name} in whole pixels, for example 640.` });
  return undefined;
}

/** @param {Values} values */
function audioOf(values) {
  if (values.mute) return { mute: true };
  return values.volume === 100 ? undefined : { volume: values.volume / 100 };
}

/**
 * @param {string} origin of the server
 * @param {string} fileName
 * @param {string|null} filePath what the upload answered; null before the upload
 * @param {Record<string, any>} options
 * @param {boolean} asksForKey
 */
export function curlCommands(origin, fileName, filePath, options, asksForKey) {
  const key = asksForKey ? ` -H "Authorization: Bearer $FLOWSCALE_API_KEY"` : "";
  const form = `file=@"${fileName.replace(/[\\"]/g, "\\$&")}"`;
  const body = { sourcePath: filePath ?? "FILE_PATH", ...options };
  const lines = [
    filePath ? "# the file is uploaded already" : "# answers with the filePath for the second call",
    `curl -F ${shellQuoted(form)}${key} ${origin}/api/upload`,
    "",
    `curl ${origin}/api/execute${key} -H 'Content-Type: application/json' \\`,
    `  -d ${shellQuoted(JSON.stringify(body, null, 2))}`,
  ];
  return lines.join("\n");
}

/** One word for a POSIX shell, whatever it holds. @param {string} text */
function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
