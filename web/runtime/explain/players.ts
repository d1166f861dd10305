// Players: the steps or spans of steps that can be replaced. Computes the target for rows in which some are replaced.

import { concatenated } from "studio/runtime/arrays.js";
import { readingOrder, type Target } from "studio/runtime/explain/target.js";
import { affine } from "studio/runtime/linear.js";
import type { Cell, Subject } from "studio/types.js";

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

/** steps start .. stop-1 */
type Player = { start: number; stop: number };

/** P players, and the first layer's input part for each step and for the baseline that replaces it. */
export interface Players {
  subject: Subject;
  every: readonly Player[]; // in time order
  owner: Int32Array; // [T] the player of each step; -1: the step is never replaced
  real: Float64Array[]; // of each track of the first layer [T, 4H]
  base: Float64Array[]; // of each track of the first layer [4H]
}

/** whether a player is present in a row */
type Present = (r: number, player: number) => boolean;

export function createPlayers(subject: Subject, every: readonly Player[]): Players {
  const owner = new Int32Array(subject.steps).fill(-1);
  every.forEach(({ start, stop }, p) => owner.fill(p, start, stop));
  const first = subject.cells.filter(({ info }) => info.layer === 0);
  const x = subject.tracks[0].input as Float32Array;
  const baseline = subject.baseline();
  return {
    ...{ subject, every, owner },
    real: first.map((cell) => inputPart(cell, x, subject.steps)),
    base: first.map((cell) => inputPart(cell, baseline, 1)),
  };
}

/** The first layer's input part at a step [R, 4H], in rows where some players are replaced; `k`: its track. */
function rowInputs({ owner, real, base }: Players, k: number, t: number, R: number, present: Present): Float64Array {
  const size = base[k].length;
  const out = new Float64Array(R * size);
  const mine = real[k].subarray(t * size, (t + 1) * size);
  for (let r = 0; r < R; r++) out.set(owner[t] < 0 || present(r, owner[t]) ? mine : base[k], r * size);
  return out;
}

/** Whether the LSTM only reads forward, so that rows with a common prefix can share steps. */
const readsOneWay = ({ cells }: Subject) => cells.every(({ info }) => !info.reverse);

/** Computes the target of rows in which some players are replaced, step by step; yields the row-steps done. */
function* wholeRows(players: Players, target: Target, R: number, present: Present): Steps<Float64Array> {
  const { cells, steps: T, initial } = players.subject;
  const last = cells[cells.length - 1].info.layer;
  /** outputs [R, D*P] of the layer below, at each step */
  let below: Float32Array[] = [];
  for (let layer = 0; layer <= last; layer++) {
    const mine = cells.map((cell, k) => ({ cell, k })).filter(({ cell }) => cell.info.layer === layer);
    const width = mine.length * mine[0].cell.info.outputs;
    const outputs = Array.from({ length: T }, () => new Float32Array(R * width));
    for (const [d, { cell, k }] of mine.entries()) {
      let state = repeated(initial[k], R);
      const { reverse } = cell.info;
      const until = layer < last ? (reverse ? 0 : T - 1) : target.t; // later steps don't affect the target
      for (const t of readingOrder(reverse, T, until)) {
        const xg = layer === 0 ? rowInputs(players, d, t, R, present) : inputPart(cell, below[t], R);
        state = cell.stepRows(xg, state, R);
        const { outputs: P } = cell.info;
        for (let r = 0; r < R; r++) outputs[t].set(state.h.subarray(r * P, (r + 1) * P), r * width + d * P);
        yield R / cells.length;
      }
    }
    below = outputs;
  }
  return targetValues(target, below[target.t], R);
}

const AT_ONCE = 16; // rows

/** A step of the rows that differ up to it: the row before from which each goes on (null: its own), and one like it. */
type Stage = { from: number[] | null; heads: number[] };

/** Rows that replace the same up to a step share it: the stages up to the target, and the last row of each of `count`. */
function shared({ owner, every }: Players, target: Target, count: number, present: Present) {
  let [rows, heads] = [new Array<number>(count).fill(0), [0]];
  const stages = Array.from({ length: target.t + 1 }, (_, t): Stage => {
    const player = owner[t];
    if (every[player]?.start !== t) return { from: null, heads };
    const keys = rows.map((row, r) => 2 * row + Number(present(r, player)));
    const firsts = new Map<number, number>(); // of the rows with each key
    keys.forEach((key, r) => firsts.has(key) || firsts.set(key, r));
    const places = new Map([...firsts.keys()].map((key, n) => [key, n]));
    rows = keys.map((key) => places.get(key) as number);
    heads = [...firsts.values()];
    return { from: [...firsts.keys()].map((key) => key >> 1), heads };
  });
  return { stages, rows };
}

/** How many row-steps `rowTargets` takes. */
export function rowsCost(players: Players, target: Target, count: number, present: Present): number {
  if (!readsOneWay(players.subject)) return count * players.subject.steps;
  return shared(players, target, count, present).stages.reduce((sum, { heads }) => sum + heads.length, 0);
}

/** The target of so many rows in which some players are replaced; yields the row-steps done. */
export function* rowTargets(players: Players, target: Target, count: number, present: Present): Steps<Float64Array> {
  if (!readsOneWay(players.subject)) {
    const all = new Float64Array(count);
    for (let from = 0; from < count; from += AT_ONCE) {
      const R = Math.min(AT_ONCE, count - from);
      all.set(yield* wholeRows(players, target, R, (r, player) => present(from + r, player)), from);
    }
    return all;
  }
  const { stages, rows } = shared(players, target, count, present);
  let states: Rows[] = players.subject.initial;
  let before = 1; // rows
  for (const [t, { from, heads }] of stages.entries()) {
    const R = heads.length;
    const begun = from ? states.map((all) => pickedRows(all, before, from)) : states;
    const blocks: Rows[][] = [];
    for (let first = 0; first < R; first += AT_ONCE) {
      const last = Math.min(R, first + AT_ONCE);
      const some = begun.map((all) => someRows(all, R, first, last));
      blocks.push(stepAll(players, some, t, last - first, (r, player) => present(heads[first + r], player)));
      yield last - first;
    }
    states = states.map((_, k) => joinedRows(blocks.map((block) => block[k])));
    before = R;
  }
  const values = targetValues(target, states[states.length - 1].h, stages[target.t].heads.length);
  return Float64Array.from(rows, (row) => values[row]);
}

/** `outputs`: [R, D*P] of the target's step; returns [R] */
export function targetValues(target: Target, outputs: Float32Array, R: number): Float64Array {
  const width = outputs.length / R;
  return Float64Array.from({ length: R }, (_, r) => target.of(outputs.subarray(r * width, (r + 1) * width)));
}

/** Runs one step of all layers of an LSTM that only reads forward; `states`: of each layer; returns those after it. */
function stepAll(players: Players, states: Rows[], t: number, R: number, present: Present): Rows[] {
  const after: Rows[] = [];
  players.subject.cells.forEach((cell, k) => {
    const xg = k === 0 ? rowInputs(players, 0, t, R, present) : inputPart(cell, after[k - 1].h, R);
    after.push(cell.stepRows(xg, states[k], R));
  });
  return after;
}
