// Computes the target if one state of a layer and direction, at one step, comes from another run.

import { sideBySide } from "studio/runtime/arrays.js";
import { inputPart, outputRows, stepRows } from "studio/runtime/explain/rows.js";
import { readingOrder } from "studio/runtime/explain/target.js";
import { stateBefore } from "studio/runtime/states.js";

/** @typedef {import("studio/types.js").Subject} Subject */
/** @typedef {import("studio/runtime/explain/rows.js").Rows} Rows */
/** @typedef {import("studio/runtime/explain/target.js").Target} Target */
/** @typedef {{track: number, quantity: string, t: number}} Place */
/** @typedef {(Float32Array | null)[]} Changed h [T, P] of each track; null if unchanged */

/**
 * Computes the target with each state of `other` patched into the run of `subject`, one at a time.
 * @param {Subject} subject
 * @param {Subject} other with the same number of steps
 * @param {Target} target
 * @param {readonly Place[]} places
 * @returns {Generator<number, Float64Array, void>} yields the places done; [places]
 */
export function* sweep(subject, other, target, places) {
  const values = new Float64Array(places.length);
  for (const [n, place] of places.entries()) {
    values[n] = target.of(yield* patchedOutput(subject, other, place, target.t));
    yield 1;
  }
  return values;
}

/**
 * All places, track by track; for an LSTM, c comes before h.
 * @param {Subject} subject
 * @returns {Place[]}
 */
export function allPlaces({ tracks, steps, cell }) {
  return tracks.flatMap((_, track) =>
    cell.states.flatMap((quantity) => Array.from({ length: steps }, (__, t) => ({ track, quantity, t }))),
  );
}

/**
 * @param {Subject} subject
 * @param {Subject} other
 * @param {Place} place
 * @param {number} end the step whose outputs are needed
 * @returns {Generator<number, Float32Array, void>} [D*P]
 */
function* patchedOutput(subject, other, place, end) {
  const { cells, steps: T } = subject;
  const { layer: begin, reverse } = cells[place.track].info;
  const last = cells[cells.length - 1].info.layer;
  /** @type {Changed} */
  const changed = cells.map(() => null);
  let range = reverse ? { low: 0, high: place.t } : { low: place.t, high: T - 1 }; // range of the steps that differ
  changed[place.track] = yield* patchedTrack(subject, other, place, begin === last ? end : null);
  for (let layer = begin + 1; layer <= last; layer++) {
    const input = inputOf(subject, changed, layer);
    for (const [k, cell] of cells.entries()) {
      if (cell.info.layer === layer) changed[k] = yield* rescanned(subject, k, input, range, layer === last ? end : null);
    }
    const ways = cells.filter(({ info }) => info.layer === layer).map(({ info }) => info.reverse);
    range = { low: ways.includes(true) ? 0 : range.low, high: ways.includes(false) ? T - 1 : range.high };
  }
  return topOf(subject, changed, end);
}

/**
 * Computes the patched track, from the patched step on, in reading order.
 * @param {Subject} subject
 * @param {Subject} other
 * @param {Place} place
 * @param {number | null} end the last step needed; null: all
 * @returns {Generator<number, Float32Array, void>}
 */
function* patchedTrack(subject, other, { track: k, quantity, t }, end) {
  const [track, cell] = [subject.tracks[k], subject.cells[k]];
  const { outputs: P, reverse } = cell.info;
  const h = track.values.h.slice();
  const state = patchedState(subject, k, quantity, t, stateAt(other, k, quantity, t));
  h.set(state.h, t * P);
  const input = /** @type {Float32Array} */ (track.input);
  const after = stepsFrom(reverse, subject.steps, t, end).slice(1);
  return yield* scanOn(cell, input, state, after, h);
}

/**
 * The states after a step in which one state was replaced. In an LSTM, h follows from the cell state.
 * @param {Subject} subject
 * @param {number} k
 * @param {string} quantity
 * @param {number} t
 * @param {Float32Array} put
 * @returns {Rows}
 */
function patchedState(subject, k, quantity, t, put) {
  const [track, cell] = [subject.tracks[k], subject.cells[k]];
  const others = subject.cell.carried.filter((name) => name !== quantity).map((name) => [name, stateAt(subject, k, name, t)]);
  const states = { ...Object.fromEntries(others), [quantity]: put };
  if (quantity === "h") return states;
  const m = Float64Array.from(put, (value, u) => track.values.o[t * cell.info.units + u] * Math.tanh(value));
  return { ...states, h: outputRows(cell, m, 1) };
}

/**
 * Recomputes a track above the patched one, whose input has changed.
 * @param {Subject} subject
 * @param {number} k
 * @param {Float32Array} input [T, C]
 * @param {{low: number, high: number}} range the changed steps
 * @param {number | null} end
 * @returns {Generator<number, Float32Array, void>}
 */
function* rescanned(subject, k, input, { low, high }, end) {
  const [track, cell] = [subject.tracks[k], subject.cells[k]];
  const first = cell.info.reverse ? high : low;
  const before = Object.fromEntries(subject.cell.carried.map((name) => [name, stateBefore(track, name, first)]));
  const steps = stepsFrom(cell.info.reverse, subject.steps, first, end);
  return yield* scanOn(cell, input, before, steps, track.values.h.slice());
}

/**
 * @param {Subject["cells"][number]} cell
 * @param {Float32Array} input [T, C]
 * @param {Rows} before
 * @param {number[]} steps in reading order
 * @param {Float32Array} h [T, P] output, at these steps
 * @returns {Generator<number, Float32Array, void>} h
 */
function* scanOn(cell, input, before, steps, h) {
  const { inputSize: C, outputs: P } = cell.info;
  let state = before;
  for (const t of steps) {
    state = stepRows(cell, inputPart(cell, input.subarray(t * C, (t + 1) * C), 1), state, 1);
    h.set(state.h, t * P);
    yield 0;
  }
  return h;
}

/**
 * The steps from `first` on, in reading order, to the end or to a given step.
 * @param {boolean} reverse
 * @param {number} T
 * @param {number} first
 * @param {number | null} end
 * @returns {number[]}
 */
function stepsFrom(reverse, T, first, end) {
  const until = end ?? (reverse ? 0 : T - 1);
  return readingOrder(reverse, T, until).filter((t) => (reverse ? t <= first : t >= first));
}

/**
 * @param {Subject} subject
 * @param {number} k
 * @param {string} quantity
 * @param {number} t
 * @returns {Float32Array}
 */
export function stateAt({ tracks }, k, quantity, t) {
  const { values, info } = tracks[k];
  const size = quantity === "h" ? info.outputs : info.units;
  return values[quantity].subarray(t * size, (t + 1) * size);
}

/**
 * A layer's input: the hidden states of the layer below, concatenated.
 * @param {Subject} subject
 * @param {Changed} changed
 * @param {number} layer
 * @returns {Float32Array} [T, D*P]
 */
function inputOf({ tracks, steps: T }, changed, layer) {
  const below = tracks.flatMap(({ info, values }, k) => (info.layer === layer - 1 ? [changed[k] ?? values.h] : []));
  return sideBySide(below, T);
}

/**
 * @param {Subject} subject
 * @param {Changed} changed
 * @param {number} t
 * @returns {Float32Array} [D*P]
 */
function topOf(subject, changed, t) {
  const outputs = inputOf(subject, changed, subject.tracks[subject.tracks.length - 1].info.layer + 1);
  const width = outputs.length / subject.steps;
  return outputs.subarray(t * width, (t + 1) * width);
}
