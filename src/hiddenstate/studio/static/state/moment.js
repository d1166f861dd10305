// One unit at one step, with the numbers in the cell's equations, as in Python's Moment.

import { activated } from "studio/runtime/kinds.js";
import { stateBefore } from "studio/runtime/states.js";
import { nextRound } from "studio/state/ranges.js";
import { memoryOf, trackOf } from "studio/state/units.js";

/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").DotProduct} DotProduct */

/**
 * @typedef {object} Moment
 * @property {CellKind} cell
 * @property {Track} track
 * @property {number} unit
 * @property {number} t
 * @property {number | null} before the step read before this one; null if the run starts here
 * @property {number | null} after the step read next; null if the run ends here
 * @property {string} shown "h", or "m" if a projection mixes all units into h: the output of just this unit
 * @property {Record<string, number>} values gates, states, the memory before (c_prev), and what the cell's equations have between
 *   them; NaN for those that need weights if there are none
 * @property {Record<string, DotProduct>} sums behind each gate; empty without weights
 * @property {Record<string, number>} computed what the equation gives, for each value that an edit replaced
 */

/** The symbol of a gate's activation function. */
export const squashName = (/** @type {CellKind} */ { activations }, /** @type {string} */ gate) =>
  activations[gate] === "sigmoid" ? "σ" : activations[gate];

/** The name of the state before a step: c_prev, h_prev. */
export const memoryBefore = (/** @type {CellKind} */ { memory }) => `${memory}_prev`;

/**
 * Returns the steps read before and after a step, in the track's reading direction; null at either end.
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
  const { cell } = model;
  const track = trackOf(run, trackName);
  const { before, after } = neighbours(track, t, run.steps);
  const shown = projected(track) ? "m" : "h";
  const sums = sumsOf(model, run, trackName, unit, t);
  const values = VALUES[cell.label](model, track, unit, t, sums);
  const moment = { cell, track, unit, t, before, after, shown, values, sums, computed: {} };
  return { ...moment, computed: replaced(moment) };
}

/** @typedef {(model: Model, track: Track, unit: number, t: number, sums: Moment["sums"]) => Record<string, number>} Values */

/** @type {Values} */
function lstmValues(_model, track, unit, t) {
  const at = t * track.info.units + unit;
  const [i, f, g, o, c] = ["i", "f", "g", "o", "c"].map((quantity) => track.values[quantity][at]);
  const cPrev = stateBefore(track, "c", t)[unit];
  const [shown, out] = projected(track) ? ["m", o * Math.tanh(c)] : ["h", track.values.h[at]];
  return { i, f, g, o, c_prev: cPrev, kept: f * cPrev, wrote: i * g, c, tanh: Math.tanh(c), [shown]: out };
}

/** @type {Values} */
function gruValues(_model, track, unit, t, sums) {
  const [r, z, n, h] = ["r", "z", "n", "h"].map((quantity) => track.values[quantity][t * track.info.units + unit]);
  const hPrev = stateBefore(track, "h", t)[unit];
  const hidden = sums.n?.fromHidden ?? NaN;
  const between = { kept: z * hPrev, write: 1 - z, wrote: (1 - z) * n };
  return { r, z, n, h_prev: hPrev, n_h: hidden, n_rh: r * hidden, ...between, h };
}

/** @type {Values} */
function rnnValues({ cell }, track, unit, t, sums) {
  const h = track.values.h[t * track.info.units + unit];
  const { fromInput, fromHidden, sum } = sums.h ?? { fromInput: NaN, fromHidden: NaN, sum: unsquash(cell, "h", h) };
  return { h_prev: stateBefore(track, "h", t)[unit], from_x: fromInput, from_h: fromHidden, sum, h };
}

/** @type {Record<string, Values>} */
const VALUES = { LSTM: lstmValues, GRU: gruValues, RNN: rnnValues };

/**
 * The pre-activation that gives a gate this value; NaN if there are several.
 * @param {CellKind} cell
 * @param {string} gate
 * @param {number} value
 * @returns {number}
 */
export function unsquash({ activations }, gate, value) {
  if (activations[gate] === "sigmoid") return Math.log(value / (1 - value));
  return activations[gate] === "tanh" ? Math.atanh(value) : value > 0 ? value : NaN;
}

/** @type {WeakMap<Track, Float32Array>} */
const reaches = new WeakMap();

/**
 * Returns the largest memory of a unit in the whole run, rounded up. This is the scale of the unit's pipes and bars; it
 * is the same at each step, and is shown beside the bars.
 * @param {Track} track
 * @param {number} unit
 * @returns {number}
 */
export function reachOf(track, unit) {
  const memory = memoryOf(track);
  const known = reaches.get(track) ?? track.initial[memory].map(Math.abs);
  if (!reaches.has(track))
    track.values[memory].forEach((value, k) => {
      if (Math.abs(value) > known[k % known.length]) known[k % known.length] = Math.abs(value);
    });
  reaches.set(track, known);
  return nextRound(Math.max(1, known[unit]));
}

/**
 * Returns a bound for the memory of a layer in the whole run, rounded up: 19 of 20 values are within it.
 * @param {Track} track
 * @returns {number}
 */
export function mostReach(track) {
  const sizes = track.values[memoryOf(track)].map(Math.abs).sort();
  return nextRound(sizes[Math.floor(0.95 * (sizes.length - 1))]);
}

/**
 * Returns whether h is a projection, in which case its units are not the units of the gates.
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
function replaced({ cell, track, values, sums, shown }) {
  const eps = 16 * roundingOf(track);
  /** @type {[string, number, number][]} name, the equation's result, and the rounding that does not indicate an edit */
  const equations = [];
  if (cell.isAdditive) {
    const slack = eps * (Math.abs(values.kept) + Math.abs(values.wrote)) + 1e-30;
    equations.push([cell.memory, values.kept + values.wrote, slack]);
  }
  if (cell.memory !== "h") equations.push([shown, values.o * values.tanh, eps]);
  for (const [gate, { sum }] of Object.entries(sums)) {
    const value = activated(cell, gate, sum);
    equations.push([gate, value, 5e-5 * Math.max(1, Math.abs(value))]);
  }
  return Object.fromEntries(equations.filter(([name, value, slack]) => Math.abs(values[name] - value) > slack));
}

/** @type {WeakMap<Track, number>} */
const roundings = new WeakMap();

/**
 * Finds the relative rounding error of the number type in which a track was computed, from the trailing zero bits of
 * its numbers.
 * @param {Track} track
 * @returns {number}
 */
function roundingOf(track) {
  const known = roundings.get(track);
  if (known !== undefined) return known;
  const [gate] = Object.keys(track.values);
  const found = Math.max(roundingIn(track.values[gate]), roundingIn(track.values[memoryOf(track)]));
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
