// Players: the steps or spans of steps that can be replaced. Computes the target for rows in which some are replaced.

import { inputPart, repeated, stepRows } from "studio/runtime/explain/rows.js";
import { readingOrder } from "studio/runtime/explain/target.js";

/** @typedef {import("studio/types.js").Subject} Subject */
/** @typedef {import("studio/runtime/explain/target.js").Target} Target */
/** @typedef {import("studio/runtime/explain/rows.js").Rows} Rows */

/** @typedef {{start: number, stop: number}} Player steps start .. stop-1 */

/**
 * P players, and the first layer's input part for each step and for the baseline that replaces it.
 * @typedef {object} Players
 * @property {Subject} subject
 * @property {readonly Player[]} every in time order
 * @property {Int32Array} owner [T] the player of each step; -1: the step is never replaced
 * @property {Float64Array[]} real of each track of the first layer [T, 4H]
 * @property {Float64Array[]} base of each track of the first layer [4H]
 */

/** @typedef {(r: number, player: number) => boolean} Present whether a player is present in a row */

/**
 * @param {Subject} subject
 * @param {readonly Player[]} every
 * @returns {Players}
 */
export function playersOf(subject, every) {
  const owner = new Int32Array(subject.steps).fill(-1);
  every.forEach(({ start, stop }, p) => owner.fill(p, start, stop));
  const first = subject.cells.filter(({ info }) => info.layer === 0);
  const x = /** @type {Float32Array} */ (subject.tracks[0].input);
  const baseline = subject.baseline();
  return {
    ...{ subject, every, owner },
    real: first.map((cell) => inputPart(cell, x, subject.steps)),
    base: first.map((cell) => inputPart(cell, baseline, 1)),
  };
}

/**
 * The first layer's input part at a step, in rows where some players are replaced.
 * @param {Players} players
 * @param {number} k the track of the first layer
 * @param {number} t
 * @param {number} R
 * @param {Present} present
 * @returns {Float64Array} [R, 4H]
 */
export function inputsOf({ owner, real, base }, k, t, R, present) {
  const size = base[k].length;
  const out = new Float64Array(R * size);
  const mine = real[k].subarray(t * size, (t + 1) * size);
  for (let r = 0; r < R; r++) out.set(owner[t] < 0 || present(r, owner[t]) ? mine : base[k], r * size);
  return out;
}

/**
 * Whether the LSTM only reads forward, so that rows with a common prefix can share steps.
 * @param {Subject} subject
 */
export function readsOneWay({ cells }) {
  return cells.every(({ info }) => !info.reverse);
}

/**
 * Computes the target for rows in which some players are replaced; each row runs from its first step to its last.
 * @param {Players} players
 * @param {Target} target
 * @param {number} R
 * @param {Present} present
 * @returns {Generator<number, Float64Array, void>} yields the row-steps done; [R]
 */
export function* wholeRows(players, target, R, present) {
  const { cells, steps: T, initial } = players.subject;
  const last = cells[cells.length - 1].info.layer;
  /** @type {Float32Array[]} outputs [R, D*P] of the layer below, at each step */
  let below = [];
  for (let layer = 0; layer <= last; layer++) {
    const mine = cells.map((cell, k) => ({ cell, k })).filter(({ cell }) => cell.info.layer === layer);
    const width = mine.length * mine[0].cell.info.outputs;
    const outputs = Array.from({ length: T }, () => new Float32Array(R * width));
    for (const [d, { cell, k }] of mine.entries()) {
      let state = repeated(initial[k], R);
      const { reverse } = cell.info;
      const until = layer < last ? (reverse ? 0 : T - 1) : target.t; // later steps don't affect the target
      for (const t of readingOrder(reverse, T, until)) {
        const xg = layer === 0 ? inputsOf(players, d, t, R, present) : inputPart(cell, below[t], R);
        state = stepRows(cell, xg, state, R);
        putBeside(state.h, outputs[t], R, d * cell.info.outputs);
        yield R / cells.length;
      }
    }
    below = outputs;
  }
  return targetsOf(target, below[target.t], R);
}

/**
 * @param {Target} target
 * @param {Float32Array} outputs [R, D*P] of the target's step
 * @param {number} R
 * @returns {Float64Array} [R]
 */
export function targetsOf(target, outputs, R) {
  const width = outputs.length / R;
  return Float64Array.from({ length: R }, (_, r) => target.of(outputs.subarray(r * width, (r + 1) * width)));
}

/**
 * @param {Float32Array} h [R, P]
 * @param {Float32Array} out [R, W] output, starting at column `at`
 * @param {number} R
 * @param {number} at
 */
function putBeside(h, out, R, at) {
  const [P, W] = [h.length / R, out.length / R];
  for (let r = 0; r < R; r++) out.set(h.subarray(r * P, (r + 1) * P), r * W + at);
}

/**
 * Runs one step of all layers of an LSTM that only reads forward.
 * @param {Players} players
 * @param {Rows[]} states of each layer
 * @param {number} t
 * @param {number} R
 * @param {Present} present
 * @returns {Rows[]} after the step
 */
export function stepAll(players, states, t, R, present) {
  /** @type {Rows[]} */
  const after = [];
  players.subject.cells.forEach((cell, k) => {
    const xg = k === 0 ? inputsOf(players, 0, t, R, present) : inputPart(cell, after[k - 1].h, R);
    after.push(stepRows(cell, xg, states[k], R));
  });
  return after;
}
