// The layout of the unit charts.

import { isSequential, roundedUp } from "studio/state/ranges.js";
import { memoryOf, valueAt } from "studio/state/units.js";

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {{names: string[], low: number, high: number, top: number, height: number}} Band */

export const LEFT = 88;
export const RIGHT = 84;
export const TOP = 8;
const GATES_HEIGHT = 50;
const MEMORY_HEIGHT = 66;
const BETWEEN = 12;
export const TOKENS_HEIGHT = 60;

/**
 * The common scale of the charts of several units: the largest memory to show.
 * @param {Run} run
 * @param {Track} track
 * @param {readonly number[]} units
 * @returns {number}
 */
export function chartReach(run, track, units) {
  const memory = memoryOf(track);
  const values = units.flatMap((unit) => run.tokens.map((_, t) => Math.abs(valueAt(track, memory, unit, t))));
  return roundedUp(values.reduce((most, value) => Math.max(most, value), 0));
}

/**
 * @param {Model} model
 * @param {number} reach
 * @returns {Band[]}
 */
export function bands({ quantities }, reach) {
  const gates = quantities.filter(isSequential);
  const memory = quantities.filter((name) => !gates.includes(name));
  const above = gates.length > 0 ? GATES_HEIGHT + BETWEEN : 0;
  const open = { names: gates, low: 0, high: 1, top: TOP, height: GATES_HEIGHT };
  const signed = { names: memory, low: -reach, high: reach, top: TOP + above, height: MEMORY_HEIGHT };
  return gates.length > 0 ? [open, signed] : [signed];
}

/**
 * @param {number} t
 * @param {number} width
 * @param {number} steps
 */
export function xOf(t, width, steps) {
  return LEFT + ((t + 0.5) * (width - LEFT - RIGHT)) / Math.max(1, steps);
}

/**
 * @param {number} x
 * @param {number} width of the chart
 * @param {number} steps
 * @returns {number | null} the step at x
 */
export function stepAt(x, width, steps) {
  const step = Math.floor(((x - LEFT) * steps) / (width - LEFT - RIGHT));
  return step >= 0 && step < steps ? step : null;
}

/**
 * @param {number} value
 * @param {Band} band
 */
export function yOf(value, { low, high, top, height }) {
  const share = (Math.min(Math.max(value, low), high) - low) / (high - low);
  return top + height * (1 - (Number.isFinite(share) ? share : 0));
}
