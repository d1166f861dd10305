// Computes many rows of one layer at once, one step at a time. Gives the same numbers as runtime/cell.js, but reads
// each weight once for four rows. Long computations are generators, so that the caller can pause or stop.

import { concatenated } from "studio/runtime/arrays.js";
import { activated } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import type { Subject } from "studio/types.js";

type Cell = Subject["cells"][number];
/** states by name: h [R, P], and c [R, H] of an LSTM */
export type Rows = Record<string, Float32Array>;
/** a computation that yields the number of row-steps done, or of other parts */
export type Steps<T> = Generator<number, T, void>;
type Step = (cell: Cell, z: Float64Array, xg: Float64Array, before: Rows, R: number) => Rows;

/** The inputs' part of the pre-activations, with its biases; `x`: [R, C]; returns [R, G*H]. */
export function inputPart({ info, weights, kind }: Cell, x: Float32Array, R: number): Float64Array {
  const out = new Float64Array(R * kind.gates.length * info.units);
  affine(x, R, weights.weight_ih, weights.bias_ih, out);
  return out;
}

/** `xg`: [R, G*H] inputPart of the rows; returns the states after the step */
export function stepRows(cell: Cell, xg: Float64Array, before: Rows, R: number): Rows {
  const z = new Float64Array(xg.length);
  affine(before.h, R, cell.weights.weight_hh, cell.weights.bias_hh, z);
  return STEPS[cell.kind.name](cell, z, xg, before, R);
}

function lstm(cell: Cell, z: Float64Array, xg: Float64Array, before: Rows, R: number): Rows {
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

function gru(cell: Cell, zs: Float64Array, xg: Float64Array, before: Rows, R: number): Rows {
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

function rnn(cell: Cell, z: Float64Array, xg: Float64Array): Rows {
  return { h: Float32Array.from(z, (value, k) => activated(cell.kind, "h", value + xg[k])) };
}

const STEPS: Record<string, Step> = { LSTM: lstm, GRU: gru, RNN_TANH: rnn, RNN_RELU: rnn };

/** Computes the hidden states from o·tanh(c), applying the projection if there is one; `m`: [R, H]; returns [R, P]. */
export function outputRows({ info, weights }: Cell, m: Float64Array, R: number): Float32Array {
  if (weights.weight_hr === null) return Float32Array.from(m);
  const h = new Float64Array(R * info.outputs);
  affine(m, R, weights.weight_hr, null, h);
  return Float32Array.from(h);
}

function sigmoid(pre: number) {
  return Math.fround(1 / (1 + Math.exp(-pre)));
}

/** One row, repeated R times. */
export function repeated(row: Rows, R: number): Rows {
  return mapped(row, (values) => tiled(values, R));
}

function tiled(row: Float32Array, R: number) {
  const out = new Float32Array(row.length * R);
  for (let r = 0; r < R; r++) out.set(row, r * row.length);
  return out;
}

/** Those of R rows from one (inclusive) to another. */
export function someRows(rows: Rows, R: number, from: number, to: number): Rows {
  return mapped(rows, (all) => all.subarray((from * all.length) / R, (to * all.length) / R));
}

/** The rows of all parts, in order. */
export function joinedRows(parts: readonly Rows[]): Rows {
  return mapped(parts[0], (_, name) => concatenated(parts.map((part) => part[name])));
}

function mapped(rows: Rows, change: (values: Float32Array, name: string) => Float32Array): Rows {
  return Object.fromEntries(Object.entries(rows).map(([name, values]) => [name, change(values, name)]));
}
