// The colours of values. Equal colours mean equal numbers, in every panel and for every sentence.
//
// i, f and o have sequential colours; g, h and c have diverging colours that are neutral in the middle.

import { isSequential, limitOf, range } from "studio/state/ranges.js";
import { LEVELS, COLORMAPS } from "studio/ui/colormaps.js";
import { svg, tick } from "studio/ui/draw.js";
import { isDark } from "studio/ui/theme.js";

/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/ui/colormaps.js").Rgb} Rgb */

/**
 * The colours of a scale from its low end to its high end: 256 triples of red, green and blue.
 * @param {string} quantity
 * @returns {Uint8Array}
 */
export function colours(quantity) {
  if (isSequential(quantity)) return COLORMAPS.sequential;
  return isDark() ? COLORMAPS.dark : COLORMAPS.light;
}

/**
 * A value's index in `colours`, 0..255, clamped to the scale; NaN is at the low end.
 * @param {number} value
 * @param {[number, number]} ends
 * @returns {number}
 */
export function level(value, [low, high]) {
  const at = Math.round(((value - low) / (high - low)) * (LEVELS - 1));
  return at > 0 ? Math.min(at, LEVELS - 1) : 0;
}

/**
 * @param {string} quantity
 * @param {number} value
 * @returns {Rgb}
 */
export function rgb(quantity, value) {
  const at = level(value, range(quantity)) * 3;
  const all = colours(quantity);
  return [all[at], all[at + 1], all[at + 2]];
}

/**
 * @param {string} quantity
 * @param {number} value
 * @returns {string} for CSS
 */
export function colour(quantity, value) {
  return `rgb(${rgb(quantity, value).join(", ")})`;
}

/**
 * The line colour of a gate or a state; each has its own hue.
 * @param {string} quantity
 * @returns {string} a CSS variable
 */
export function quantityColour(quantity) {
  return `var(--q-${quantity})`;
}

const LEGEND = { width: 168, bar: 8 };

/**
 * Draws the scale as a bar, labelled at its ends and in the middle.
 * @param {string} quantity
 * @param {Run | null} run whose scale to show; null for the current scale
 * @returns {SVGSVGElement}
 */
export function legend(quantity, run = null) {
  const high = limitOf(quantity, run);
  const low = range(quantity)[0] === 0 ? 0 : -high;
  const { width, bar } = LEGEND;
  const steps = 64;
  const cells = Array.from({ length: steps }, (_, k) =>
    svg("rect", {
      x: (k * width) / steps,
      y: 0,
      width: width / steps + 0.5,
      height: bar,
      fill: colour(quantity, low + ((k + 0.5) / steps) * (high - low)),
    }),
  );
  const label = `Colours of ${quantity} from ${low} to ${high}`;
  return svg(
    "svg",
    {
      class: "legend",
      width: width + 16,
      height: 24,
      viewBox: `-8 0 ${width + 16} 24`,
      role: "img",
      "aria-label": label,
    },
    [...cells, ...ticks([low, (low + high) / 2, high], width)],
  );
}

/**
 * @param {number[]} values
 * @param {number} width
 */
function ticks(values, width) {
  return values.map((value, k) =>
    svg("text", {
      x: (k * width) / (values.length - 1),
      y: 21,
      "text-anchor": ["start", "middle", "end"][k],
      class: "legend-tick",
      text: tick(value),
    }),
  );
}
