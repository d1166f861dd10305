// Computes the target if one state of a layer and direction, at one step, comes from another run.

import { sideBySide } from "studio/runtime/arrays.js";
import { inputPart, type Rows, type Steps } from "studio/runtime/explain/players.js";
import { type Target, readingOrder } from "studio/runtime/explain/target.js";
import { affine } from "studio/runtime/linear.js";
import { statesBefore } from "studio/runtime/states.js";
import type { Subject } from "studio/types.js";

export type Place = { track: number; quantity: string; t: number };
type Range = { low: number; high: number };
/** h [T, P] of each track; null if unchanged */
type Changed = (Float32Array | null)[];

/** The target with each state of `other`, of as many steps, patched in; yields the places done; returns [places]. */
export function* sweep(subject: Subject, other: Subject, target: Target, places: Place[]): Steps<Float64Array> {
  const values = new Float64Array(places.length);
  for (const [n, place] of places.entries()) {
    values[n] = target.of(yield* patchedOutput(subject, other, place, target.t));
    yield 1;
  }
  return values;
}

/** All places, track by track; for an LSTM, c comes before h. */
export const allPlaces = ({ tracks, steps, cell }: Subject): Place[] =>
  tracks.flatMap((_, track) =>
    cell.states.flatMap((quantity) => Array.from({ length: steps }, (__, t) => ({ track, quantity, t }))),
  );

/** `end`: the step whose outputs are needed; returns [D*P] */
function* patchedOutput(subject: Subject, other: Subject, place: Place, end: number): Steps<Float32Array> {
  const { cells, steps: T, tracks } = subject;
  const { layer: begin, reverse } = cells[place.track].info;
  const last = cells[cells.length - 1].info.layer;
  const changed: Changed = cells.map(() => null);
  let range = reverse ? { low: 0, high: place.t } : { low: place.t, high: T - 1 }; // of the steps that differ
  const needed = (layer: number) => (layer === last ? end : null);
  const input = tracks[place.track].input as Float32Array;
  const patch = patchedState(subject, other, place);
  changed[place.track] = yield* scanned(subject, place.track, input, range, needed(begin), patch);
  for (let layer = begin + 1; layer <= last; layer++) {
    const below = inputOf(subject, changed, layer);
    for (const [k, { info }] of cells.entries()) {
      if (info.layer === layer) changed[k] = yield* scanned(subject, k, below, range, needed(layer), null);
    }
    const ways = cells.filter(({ info }) => info.layer === layer).map(({ info }) => info.reverse);
    range = { low: ways.includes(true) ? 0 : range.low, high: ways.includes(false) ? T - 1 : range.high };
  }
  const outputs = inputOf(subject, changed, last + 1);
  return outputs.subarray((end * outputs.length) / T, ((end + 1) * outputs.length) / T);
}

/** The states after a step in which one state was replaced. In an LSTM, h follows from the cell state. */
function patchedState(subject: Subject, other: Subject, { track: k, quantity, t }: Place): Rows {
  const [track, cell] = [subject.tracks[k], subject.cells[k]];
  const put = stateAt(other, k, quantity, t);
  const carried = subject.cell.carried.map((name) => [name, stateAt(subject, k, name, t)]);
  const states = { ...Object.fromEntries(carried), [quantity]: put };
  if (quantity === "h") return states;
  const m = Float64Array.from(put, (value, u) => track.values.o[t * cell.info.units + u] * Math.tanh(value));
  const { weight_hr: weight } = cell.weights;
  return { ...states, h: Float32Array.from(weight === null ? m : affine(m, 1, weight, null)) };
}

/**
 * The hidden states [T, P] of a track from the first step that differs.
 *
 * @param input [T, C]
 * @param end the last step needed; null: all
 * @param patch the states after that first step; null: those computed from the input
 */
function* scanned(
  subject: Subject,
  k: number,
  input: Float32Array,
  range: Range,
  end: number | null,
  patch: Rows | null,
) {
  const { steps: T, tracks, cells } = subject;
  const [track, cell] = [tracks[k], cells[k]];
  const { inputSize: C, outputs: P, reverse } = cell.info;
  const first = reverse ? range.high : range.low;
  const h = track.values.h.slice();
  let state = statesBefore(track, first);
  for (const t of readingOrder(reverse, T, end ?? (reverse ? 0 : T - 1))) {
    if (reverse ? t > first : t < first) continue;
    const x = inputPart(cell, input.subarray(t * C, (t + 1) * C), 1);
    state = patch && t === first ? patch : cell.stepRows(x, state, 1);
    h.set(state.h, t * P);
    yield 0;
  }
  return h;
}

export function stateAt({ tracks }: Subject, k: number, quantity: string, t: number): Float32Array {
  const { values, info } = tracks[k];
  const size = quantity === "h" ? info.outputs : info.units;
  return values[quantity].subarray(t * size, (t + 1) * size);
}

/** A layer's input: the hidden states of the layer below, concatenated; returns [T, D*P]. */
function inputOf({ tracks, steps: T }: Subject, changed: Changed, layer: number): Float32Array {
  const below = tracks.flatMap(({ info, values }, k) => (info.layer === layer - 1 ? [changed[k] ?? values.h] : []));
  return sideBySide(below, T);
}
