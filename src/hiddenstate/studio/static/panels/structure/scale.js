// The colour scale of the weights, one per layer and direction, with the number of weights outside it.

import { nextRound } from "studio/state/ranges.js";
import { colours, level } from "studio/ui/scales.js";

/** @typedef {{limit: number, beyond: number, count: number}} Scale colours range from -limit to limit */

const WITHIN = 0.995; // share of all weights

/**
 * @param {readonly Float32Array[]} parts
 * @returns {Scale}
 */
export function scaleOf(parts) {
  const sizes = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) for (const value of part) sizes[at++] = Math.abs(value);
  sizes.sort();
  const limit = nextRound(sizes[Math.floor(WITHIN * (sizes.length - 1))]);
  return { limit, beyond: sizes.length - firstAbove(sizes, limit), count: sizes.length };
}

/**
 * @param {Float32Array} sorted
 * @param {number} limit
 * @returns {number} the first index above it
 */
function firstAbove(sorted, limit) {
  const at = sorted.findIndex((value) => value > limit);
  return at < 0 ? sorted.length : at;
}

/**
 * @param {number} value
 * @param {number} limit
 * @returns {[number, number, number]}
 */
export function rgbOf(value, limit) {
  const all = colours("g"),
    at = 3 * level(value, [-limit, limit]);
  return [all[at], all[at + 1], all[at + 2]];
}

/**
 * @param {number} value
 * @param {number} limit
 */
export function inkOver(value, limit) {
  const [red, green, blue] = rgbOf(value, limit);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#16181d" : "#ffffff";
}
