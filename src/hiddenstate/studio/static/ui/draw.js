// Creates elements, SVG and canvases in one line each. Text is inserted as text, never as HTML.

const MOST_PIXELS = 16000; // largest canvas side; browsers draw nothing on larger canvases
const SVG = "http://www.w3.org/2000/svg";

/** @typedef {string | number | boolean | null | undefined} Attribute */
/** @typedef {Node | string | null | undefined} Child */

/**
 * `class`, `text`, `style` (an object), `on` (event listeners) and any attribute; null and false omit it.
 * @typedef {object} Special
 * @property {string} [class]
 * @property {string | number} [text]
 * @property {Record<string, string | number>} [style]
 * @property {Record<string, (event: any) => void>} [on]
 */

/** @typedef {Special & Record<string, any>} Attributes */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {Child[]} [children]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, attributes = {}, children = []) {
  return finish(document.createElement(tag), attributes, children);
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {Child[]} [children]
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes = {}, children = []) {
  return finish(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @template {HTMLElement | SVGElement} E
 * @param {E} made
 * @param {Attributes} attributes
 * @param {Child[]} children
 * @returns {E}
 */
function finish(made, { text, style, on, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) set(made, name, value);
  for (const [name, value] of Object.entries(style ?? {})) made.style.setProperty(name, String(value));
  for (const [name, listener] of Object.entries(on ?? {})) made.addEventListener(name, listener);
  if (text !== undefined) made.textContent = String(text);
  for (const child of children) if (child !== null && child !== undefined) made.append(child);
  return made;
}

/**
 * Sets an attribute; true sets it empty; null, undefined and false remove it.
 * @param {Element} node
 * @param {string} name
 * @param {Attribute} value
 */
export function set(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : String(value));
}

/**
 * A canvas of this size at screen resolution, with a context in CSS pixels.
 * @param {number} width
 * @param {number} height
 * @param {Attributes} [attributes]
 * @returns {{canvas: HTMLCanvasElement, context: CanvasRenderingContext2D}}
 */
export function canvas(width, height, attributes = {}) {
  const made = element("canvas", attributes);
  return { canvas: made, context: resize(made, width, height) };
}

/**
 * Resizes a canvas, which clears it.
 * @param {HTMLCanvasElement} made
 * @param {number} width
 * @param {number} height
 * @returns {CanvasRenderingContext2D}
 */
export function resize(made, width, height) {
  const fine = Math.min(window.devicePixelRatio || 1, MOST_PIXELS / Math.max(width, height, 1));
  made.width = Math.max(1, Math.round(width * fine));
  made.height = Math.max(1, Math.round(height * fine));
  made.style.width = `${width}px`;
  made.style.height = `${height}px`;
  const context = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
  context.setTransform(fine, 0, 0, fine, 0, 0);
  return context;
}

/**
 * Formats a number with four digits, as in Python's tables.
 * @param {number} number
 * @returns {string}
 */
export function format(number) {
  return number.toFixed(4);
}

/**
 * Formats a number on a scale, with a minus sign as wide as a plus sign.
 * @param {number | string} value
 * @returns {string}
 */
export function tick(value) {
  return String(value).replace("-", "\u2212");
}

/**
 * Formats a signed number with three decimals; very small numbers keep significant digits.
 * @param {number} value
 * @returns {string}
 */
export function exactly(value) {
  const size = Math.abs(value);
  const written = size === 0 || size >= 0.0005 ? value.toFixed(3) : value.toExponential(0);
  return tick(value > 0 ? `+${written}` : written);
}

/**
 * Formats a share as a percentage: "92 %", "<1 %".
 * @param {number} share
 * @returns {string}
 */
export function percent(share) {
  if (share > 0 && share < 0.01) return "<1 %";
  if (share < 1 && share >= 0.995) return ">99 %";
  return `${Math.round(share * 100)} %`;
}

/**
 * A piece of text in a chart.
 * @param {number} x
 * @param {number} y
 * @param {string} kind
 * @param {"start" | "middle" | "end"} anchor
 * @param {string} [text]
 */
export function label(x, y, kind, anchor, text = "") {
  return svg("text", { x, y, class: kind, "text-anchor": anchor, text });
}
