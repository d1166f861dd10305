// The inputs and states of many rows of one layer, whose steps `Cell.stepRows` computes at once. Long computations are
// generators, so that the caller can pause or stop.

import { concatenated } from "studio/runtime/arrays.js";
import { affine } from "studio/runtime/linear.js";
import type { Subject } from "studio/types.js";

type Cell = Subject["cells"][number];
/** states by name: h [R, P], and c [R, H] of an LSTM */
export type Rows = Record<string, Float32Array>;
/** a computation that yields the number of row-steps done, or of other parts */
export type Steps<T> = Generator<number, T, void>;

/** The inputs' part of the pre-activations, with its biases; `x`: [R, C]; returns [R, G*H]. */
export const inputPart = (cell: Cell, x: Float32Array, R: number) =>
  affine(cell.multiplied(x, R), R, cell.weights.weight_ih, cell.weights.bias_ih);

/** One row, repeated R times. */
export const repeated = (row: Rows, R: number): Rows =>
  mapped(row, (values) => concatenated(new Array(R).fill(values)));

/** Those of R rows from one (inclusive) to another. */
export const someRows = (rows: Rows, R: number, from: number, to: number): Rows =>
  mapped(rows, (all) => all.subarray((from * all.length) / R, (to * all.length) / R));

/** Those of R rows with these numbers. */
export const pickedRows = (rows: Rows, R: number, numbers: readonly number[]): Rows =>
  mapped(rows, (all) =>
    concatenated(numbers.map((r) => all.subarray((r * all.length) / R, ((r + 1) * all.length) / R))),
  );

/** The rows of all parts, in order. */
export const joinedRows = (parts: readonly Rows[]): Rows =>
  mapped(parts[0], (_, name) => concatenated(parts.map((part) => part[name])));

const mapped = (rows: Rows, change: (values: Float32Array, name: string) => Float32Array): Rows =>
  Object.fromEntries(Object.entries(rows).map(([name, values]) => [name, change(values, name)]));
