/**
 * The few DOM helpers every module shares. Text from anywhere reaches the page as text only: nothing here, or in
 * any other module, writes markup.
 */

/**
 * @param {string} id
 * @returns {any} the element; a missing one is a fault of this page and is said at once
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties] set as properties, never as markup
 * @param {...(Node|string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Words of the server's, in which code stands in backticks. @param {string} text @returns {(Node|string)[]} */
export const prose = (text) => text.split("`").map((part, index) => (index % 2 ? make("code", { textContent: part }) : part));

/** Say something to people who do not see the page; repeated words are not said again. @param {string} words */
export function announce(words) {
  const announcer = byId("announcer");
  if (announcer.textContent !== words) announcer.textContent = words;
}

/**
 * The address if a browser may safely follow it, null otherwise (`javascript:` and the like).
 * @param {string|undefined} text
 */
export function webAddress(text) {
  if (!text) return null;
  try {
    const address = new URL(text, document.baseURI);
    return address.protocol === "https:" || address.protocol === "http:" ? address : null;
  } catch {
    return null; // not an address at all: the same answer
  }
}
