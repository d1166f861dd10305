// Players: the steps or spans of steps that can be replaced. Computes the target for rows in which some are replaced.

import { type Rows, type Steps, inputPart, repeated } from "studio/runtime/explain/rows.js";
import { type Target, readingOrder } from "studio/runtime/explain/target.js";
import type { Subject } from "studio/types.js";

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
export const readsOneWay = ({ cells }: Subject) => cells.every(({ info }) => !info.reverse);

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

export const AT_ONCE = 16; // rows

/** The target of so many rows, several at once. */
export function* rowsInBlocks(players: Players, target: Target, count: number, present: Present): Steps<Float64Array> {
  const all = new Float64Array(count);
  for (let from = 0; from < count; from += AT_ONCE) {
    const R = Math.min(AT_ONCE, count - from);
    all.set(yield* wholeRows(players, target, R, (r, player) => present(from + r, player)), from);
  }
  return all;
}

/** `outputs`: [R, D*P] of the target's step; returns [R] */
export function targetValues(target: Target, outputs: Float32Array, R: number): Float64Array {
  const width = outputs.length / R;
  return Float64Array.from({ length: R }, (_, r) => target.of(outputs.subarray(r * width, (r + 1) * width)));
}

/** Runs one step of all layers of an LSTM that only reads forward; `states`: of each layer; returns those after it. */
export function stepAll(players: Players, states: Rows[], t: number, R: number, present: Present): Rows[] {
  const after: Rows[] = [];
  players.subject.cells.forEach((cell, k) => {
    const xg = k === 0 ? rowInputs(players, 0, t, R, present) : inputPart(cell, after[k - 1].h, R);
    after.push(cell.stepRows(xg, states[k], R));
  });
  return after;
}
