/**
 * Whether a file may be one that the service takes, by its first bytes: a word of warning before anything is sent. It
 * is rougher than the server's own look, which decides. Pure.
 */

export const BYTES_LOOKED_AT = 16;

/** First boxes of MP4 and QuickTime. */
const BOXES = ["ftyp", "moov", "mdat", "wide", "free", "skip", "pnot", "PICT"];

/** @param {Uint8Array} head the first BYTES_LOOKED_AT */
export function mayBeTaken(head) {
  const text = String.fromCharCode(...head);
  const isMatroska = text.startsWith("\x1a\x45\xdf\xa3"); // WebM too
  const isPicture = text.startsWith("\xff\xd8\xff") || text.startsWith("\x89PNG\r\n") || text.startsWith("RIFF") && text.startsWith("WEBP", 8);
  const isAvi = text.startsWith("RIFF") && text.startsWith("AVI", 8);
  return isMatroska || isPicture || isAvi || BOXES.includes(text.slice(4, 8));
}
