// Many rows of one LSTM at once, a step at a time: the same numbers as runtime/cell.js, with each weight read once for
// four rows. Long computations are generators that yield the row-steps done, so that the caller can pause or stop.

import { concatenated } from "studio/runtime/arrays.js";
import { affine } from "studio/runtime/linear.js";

/** @typedef {import("studio/types.js").Subject} Subject */
/** @typedef {Subject["cells"][number]} Cell */
/** @typedef {{h: Float32Array, c: Float32Array}} Rows states [R, P] and [R, H] */

/**
 * The part of the pre-activations that comes from the inputs, including the input biases.
 * @param {Cell} cell
 * @param {Float32Array} x [R, C]
 * @param {number} R
 * @returns {Float64Array} [R, 4H]
 */
export function inputPart({ info, weights }, x, R) {
  const out = new Float64Array(R * 4 * info.units);
  affine(x, R, weights.weight_ih, weights.bias_ih, out);
  return out;
}

/**
 * @param {Cell} cell
 * @param {Float64Array} xg [R, 4H] inputPart of the rows
 * @param {Rows} before
 * @param {number} R
 * @returns {Rows} after the step
 */
export function stepRows(cell, xg, before, R) {
  const { units: H } = cell.info;
  const z = new Float64Array(R * 4 * H);
  affine(before.h, R, cell.weights.weight_hh, cell.weights.bias_hh, z);
  const [i, f, g, o] = ["i", "f", "g", "o"].map((gate) => cell.gates.indexOf(gate) * H);
  const c = new Float32Array(R * H);
  const m = new Float64Array(R * H);
  for (let r = 0; r < R; r++) {
    const at = r * 4 * H;
    for (let u = 0; u < H; u++) {
      const [k, own] = [at + u, r * H + u];
      const write = sigmoid(z[k + i] + xg[k + i]) * Math.fround(Math.tanh(z[k + g] + xg[k + g]));
      c[own] = sigmoid(z[k + f] + xg[k + f]) * before.c[own] + write;
      m[own] = sigmoid(z[k + o] + xg[k + o]) * Math.tanh(c[own]);
    }
  }
  return { h: outputRows(cell, m, R), c };
}

/**
 * The hidden states from o·tanh(c), by the projection if there is one.
 * @param {Cell} cell
 * @param {Float64Array} m [R, H]
 * @param {number} R
 * @returns {Float32Array} [R, P]
 */
export function outputRows({ info, weights }, m, R) {
  if (weights.weight_hr === null) return Float32Array.from(m);
  const h = new Float64Array(R * info.outputs);
  affine(m, R, weights.weight_hr, null, h);
  return Float32Array.from(h);
}

/** @param {number} pre */
function sigmoid(pre) {
  return Math.fround(1 / (1 + Math.exp(-pre)));
}

/**
 * @param {Rows} row of one row
 * @param {number} R
 * @returns {Rows} the row repeated R times
 */
export function repeated(row, R) {
  return { h: tiled(row.h, R), c: tiled(row.c, R) };
}

/**
 * @param {Float32Array} row
 * @param {number} R
 */
function tiled(row, R) {
  const out = new Float32Array(row.length * R);
  for (let r = 0; r < R; r++) out.set(row, r * row.length);
  return out;
}

/**
 * @param {Rows} rows
 * @param {number} R how many there are
 * @param {number} from
 * @param {number} to
 * @returns {Rows} some of them
 */
export function someRows({ h, c }, R, from, to) {
  const cut = (/** @type {Float32Array} */ all) => all.subarray((from * all.length) / R, (to * all.length) / R);
  return { h: cut(h), c: cut(c) };
}

/**
 * @param {readonly Rows[]} parts
 * @returns {Rows} all of their rows
 */
export function joinedRows(parts) {
  return { h: concatenated(parts.map(({ h }) => h)), c: concatenated(parts.map(({ c }) => c)) };
}
