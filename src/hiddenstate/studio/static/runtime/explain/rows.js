// Computes many rows of one layer at once, one step at a time. Gives the same numbers as runtime/cell.js, but reads
// each weight once for four rows. Long computations are generators that yield the number of row-steps done, so that the
// caller can pause or stop.

import { concatenated } from "studio/runtime/arrays.js";
import { activated } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";

/** @typedef {import("studio/types.js").Subject} Subject */
/** @typedef {Subject["cells"][number]} Cell */
/** @typedef {Record<string, Float32Array>} Rows states by name: h [R, P], and c [R, H] of an LSTM */
/** @typedef {(cell: Cell, z: Float64Array, xg: Float64Array, before: Rows, R: number) => Rows} Step */

/**
 * The part of the pre-activations that comes from the inputs, including the input biases.
 * @param {Cell} cell
 * @param {Float32Array} x [R, C]
 * @param {number} R
 * @returns {Float64Array} [R, G*H]
 */
export function inputPart({ info, weights, kind }, x, R) {
  const out = new Float64Array(R * kind.gates.length * info.units);
  affine(x, R, weights.weight_ih, weights.bias_ih, out);
  return out;
}

/**
 * @param {Cell} cell
 * @param {Float64Array} xg [R, G*H] inputPart of the rows
 * @param {Rows} before
 * @param {number} R
 * @returns {Rows} after the step
 */
export function stepRows(cell, xg, before, R) {
  const z = new Float64Array(xg.length);
  affine(before.h, R, cell.weights.weight_hh, cell.weights.bias_hh, z);
  return STEPS[cell.kind.name](cell, z, xg, before, R);
}

/** @type {Step} */
function lstm(cell, z, xg, before, R) {
  const { units: H } = cell.info;
  const [i, f, g, o] = ["i", "f", "g", "o"].map((gate) => cell.kind.gates.indexOf(gate) * H);
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

/** @type {Step} */
function gru(cell, zs, xg, before, R) {
  const { units: H } = cell.info;
  const [r, z, n] = ["r", "z", "n"].map((gate) => cell.kind.gates.indexOf(gate) * H);
  const h = new Float32Array(R * H);
  for (let own = 0; own < h.length; own++) {
    const k = Math.floor(own / H) * 3 * H + (own % H);
    const keep = sigmoid(zs[k + z] + xg[k + z]);
    const reset = sigmoid(zs[k + r] + xg[k + r]);
    h[own] = keep * before.h[own] + (1 - keep) * Math.fround(Math.tanh(xg[k + n] + reset * zs[k + n]));
  }
  return { h };
}

/** @type {Step} */
function rnn(cell, z, xg) {
  return { h: Float32Array.from(z, (value, k) => activated(cell.kind, "h", value + xg[k])) };
}

/** @type {Record<string, Step>} */
const STEPS = { LSTM: lstm, GRU: gru, RNN_TANH: rnn, RNN_RELU: rnn };

/**
 * Computes the hidden states from o·tanh(c), applying the projection if there is one.
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
  return mapped(row, (values) => tiled(values, R));
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
export function someRows(rows, R, from, to) {
  return mapped(rows, (all) => all.subarray((from * all.length) / R, (to * all.length) / R));
}

/**
 * @param {readonly Rows[]} parts
 * @returns {Rows} all of their rows
 */
export function joinedRows(parts) {
  return mapped(parts[0], (_, name) => concatenated(parts.map((part) => part[name])));
}

/**
 * @param {Rows} rows
 * @param {(values: Float32Array, name: string) => Float32Array} change
 * @returns {Rows}
 */
function mapped(rows, change) {
  return Object.fromEntries(Object.entries(rows).map(([name, values]) => [name, change(values, name)]));
}
