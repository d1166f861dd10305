// The light or dark theme, as chosen by the user or set in the system.

/** @typedef {import("studio/types.js").View} View */

const SYSTEM = window.matchMedia("(prefers-color-scheme: dark)");

const PROBE = document.createElement("i"); // an element used to compute colours
PROBE.hidden = true;

/** @type {Set<() => void>} */
const listeners = new Set();

/** @returns {boolean} */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "dark" || (chosen !== "light" && SYSTEM.matches);
}

/** @returns {boolean} whether the user prefers reduced motion */
export function isCalm() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/**
 * Calls `fn` when the user or the system changes the theme, so that canvases are redrawn.
 * @param {() => void} fn
 * @returns {() => void} unsubscribes
 */
export function onTheme(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

/** @param {View["theme"]} theme */
export function applyTheme(theme) {
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  tell();
}

/**
 * The current value, light or dark, of a colour of the page's style, such as "--ink", for use on a canvas.
 * @param {string} variable
 * @returns {string}
 */
export function resolved(variable) {
  if (!PROBE.isConnected) document.body.append(PROBE);
  PROBE.style.color = `var(${variable})`;
  return getComputedStyle(PROBE).color;
}

/**
 * A font family of the page's style, such as "--sans", for use on a canvas.
 * @param {string} variable
 * @returns {string}
 */
export function fontOf(variable) {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

/**
 * The width of texts in a font, in pixels.
 * @param {string} font as a canvas takes it: "16px serif"
 * @returns {(text: string) => number}
 */
export function measure(font) {
  const context = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  context.font = font;
  return (text) => context.measureText(text).width;
}

function tell() {
  for (const fn of listeners) fn();
}

SYSTEM.addEventListener("change", tell);
