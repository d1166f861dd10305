// One unit at one step: the numbers in the cell's equations, as in Python's Moment.

import { stateBefore } from "studio/runtime/states.js";
import { nextRound } from "studio/state/ranges.js";
import { trackOf } from "studio/state/units.js";

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").DotProduct} DotProduct */

/**
 * @typedef {object} Moment
 * @property {Track} track
 * @property {number} unit
 * @property {number} t
 * @property {number | null} before the step read before this one; null if the run starts here
 * @property {number | null} after the step read next; null if the run ends here
 * @property {string} shown "h", or "m" if a projection mixes all units into h: the output of just this unit
 * @property {Record<string, number>} values i f g o c_prev kept wrote c tanh, and h or m
 * @property {Record<string, DotProduct>} sums behind each gate; empty without weights
 * @property {Record<string, number>} computed what the equation gives, for each value that an edit replaced
 */

/** A gate's activation function. */
export const squash = (/** @type {string} */ gate, /** @type {number} */ x) =>
  gate === "g" ? Math.tanh(x) : 1 / (1 + Math.exp(-x));

/** Its name. */
export const squashName = (/** @type {string} */ gate) => (gate === "g" ? "tanh" : "σ");

/**
 * Returns the steps read before and after a step, in the track's own direction; null at its two ends.
 * @param {Track} track
 * @param {number} t
 * @param {number} steps
 * @returns {{before: number | null, after: number | null}}
 */
export function neighbours(track, t, steps) {
  const way = track.info.reverse ? -1 : 1;
  const inside = (/** @type {number} */ k) => (k >= 0 && k < steps ? k : null);
  return { before: inside(t - way), after: inside(t + way) };
}

/**
 * Returns all values of one unit at one step.
 * @param {Model} model
 * @param {Run} run
 * @param {string} trackName
 * @param {number} unit
 * @param {number} t
 * @returns {Moment}
 */
export function momentOf(model, run, trackName, unit, t) {
  const track = trackOf(run, trackName);
  const { before, after } = neighbours(track, t, run.steps);
  const at = t * track.info.units + unit;
  const [i, f, g, o, c] = ["i", "f", "g", "o", "c"].map((quantity) => track.values[quantity][at]);
  const cPrev = stateBefore(track, "c", t)[unit];
  const shown = projected(track) ? "m" : "h";
  const out = shown === "h" ? track.values.h[at] : o * Math.tanh(c);
  const values = { i, f, g, o, c_prev: cPrev, kept: f * cPrev, wrote: i * g, c, tanh: Math.tanh(c), [shown]: out };
  const sums = sumsOf(model, run, trackName, unit, t);
  const moment = { track, unit, t, before, after, shown, values, sums, computed: {} };
  return { ...moment, computed: replaced(moment) };
}

/** @type {WeakMap<Track, Float32Array>} */
const reaches = new WeakMap();

/**
 * Returns the largest |c| of a unit in the whole run, rounded up: the scale of its pipes and bars. It is the same at
 * each step, and is shown beside the bars.
 * @param {Track} track
 * @param {number} unit
 * @returns {number}
 */
export function reachOf(track, unit) {
  const known = reaches.get(track) ?? track.c0.map(Math.abs);
  if (!reaches.has(track))
    track.values.c.forEach((value, k) => {
      if (Math.abs(value) > known[k % known.length]) known[k % known.length] = Math.abs(value);
    });
  reaches.set(track, known);
  return nextRound(Math.max(1, known[unit]));
}

/**
 * Returns a bound for |c| of a layer in the whole run, rounded up: 19 of 20 cell states are within it.
 * @param {Track} track
 * @returns {number}
 */
export function mostReach(track) {
  const sizes = track.values.c.map(Math.abs).sort();
  return nextRound(sizes[Math.floor(0.95 * (sizes.length - 1))]);
}

/**
 * Returns whether h is a projection: its units are then not the units of the gates.
 * @param {Track} track
 * @returns {boolean}
 */
export function projected(track) {
  return track.info.outputs !== track.info.units;
}

/**
 * @param {Model} model
 * @param {Run} run
 * @param {string} track
 * @param {number} unit
 * @param {number} t
 * @returns {Record<string, DotProduct>}
 */
function sumsOf(model, run, track, unit, t) {
  if (!model.hasWeights) return {};
  return Object.fromEntries(model.gates.map((gate) => [gate, model.dotProduct(run, track, gate, unit, t)]));
}

/**
 * Returns what the equations give for each value that an edit replaced.
 * @param {Moment} moment
 * @returns {Record<string, number>}
 */
function replaced({ track, values, sums, shown }) {
  const eps = 16 * roundingOf(track);
  /** @type {[string, number, number][]} name, the equation's result, and the rounding that does not indicate an edit */
  const equations = [
    ["c", values.kept + values.wrote, eps * (Math.abs(values.kept) + Math.abs(values.wrote)) + 1e-30],
    [shown, values.o * values.tanh, eps],
  ];
  for (const [gate, sum] of Object.entries(sums)) equations.push([gate, squash(gate, sum.sum), 5e-5]);
  return Object.fromEntries(equations.filter(([name, value, slack]) => Math.abs(values[name] - value) > slack));
}

/** @type {WeakMap<Track, number>} */
const roundings = new WeakMap();

/**
 * Finds the relative rounding of the coarsest type in which a track was computed, from the zero bits at the end of
 * its numbers.
 * @param {Track} track
 * @returns {number}
 */
function roundingOf(track) {
  const known = roundings.get(track);
  if (known !== undefined) return known;
  const found = Math.max(roundingIn(track.values.f), roundingIn(track.values.c));
  roundings.set(track, found);
  return found;
}

/**
 * @param {Float32Array} values
 * @returns {number}
 */
function roundingIn(values) {
  let used = 0;
  for (const bits of new Uint32Array(values.slice().buffer)) used |= bits;
  if ((used & 0xffff) === 0) return 2 ** -7; // bfloat16
  return (used & 0x1fff) === 0 ? 2 ** -10 : 2 ** -23; // float16, float32
}
