// Computes the target if one state of a layer and direction, at one step, comes from another run.

import { sideBySide } from "studio/runtime/arrays.js";
import { type Rows, type Steps, inputPart } from "studio/runtime/explain/rows.js";
import { type Target, readingOrder } from "studio/runtime/explain/target.js";
import { affine } from "studio/runtime/linear.js";
import { statesBefore } from "studio/runtime/states.js";
import type { Subject } from "studio/types.js";

export type Place = { track: number; quantity: string; t: number };
/** h [T, P] of each track; null if unchanged */
type Changed = (Float32Array | null)[];

/** The target with each state of `other`, of as many steps, patched in; yields the places done; returns [places]. */
export function* sweep(
  subject: Subject,
  other: Subject,
  target: Target,
  places: readonly Place[],
): Steps<Float64Array> {
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
  const { cells, steps: T } = subject;
  const { layer: begin, reverse } = cells[place.track].info;
  const last = cells[cells.length - 1].info.layer;
  const changed: Changed = cells.map(() => null);
  let range = reverse ? { low: 0, high: place.t } : { low: place.t, high: T - 1 }; // range of the steps that differ
  changed[place.track] = yield* patchedTrack(subject, other, place, begin === last ? end : null);
  for (let layer = begin + 1; layer <= last; layer++) {
    const input = inputOf(subject, changed, layer);
    for (const [k, cell] of cells.entries()) {
      if (cell.info.layer === layer)
        changed[k] = yield* rescanned(subject, k, input, range, layer === last ? end : null);
    }
    const ways = cells.filter(({ info }) => info.layer === layer).map(({ info }) => info.reverse);
    range = { low: ways.includes(true) ? 0 : range.low, high: ways.includes(false) ? T - 1 : range.high };
  }
  const outputs = inputOf(subject, changed, last + 1);
  return outputs.subarray((end * outputs.length) / T, ((end + 1) * outputs.length) / T);
}

/** Computes the patched track, from the patched step on, in reading order; `end`: the last step needed; null: all. */
function* patchedTrack(
  subject: Subject,
  other: Subject,
  { track: k, quantity, t }: Place,
  end: number | null,
): Steps<Float32Array> {
  const [track, cell] = [subject.tracks[k], subject.cells[k]];
  const { outputs: P, reverse } = cell.info;
  const h = track.values.h.slice();
  const state = patchedState(subject, k, quantity, t, stateAt(other, k, quantity, t));
  h.set(state.h, t * P);
  const input = track.input as Float32Array;
  const after = stepsFrom(reverse, subject.steps, t, end).slice(1);
  return yield* scanOn(cell, input, state, after, h);
}

/** The states after a step in which one state was replaced. In an LSTM, h follows from the cell state. */
function patchedState(subject: Subject, k: number, quantity: string, t: number, put: Float32Array): Rows {
  const [track, cell] = [subject.tracks[k], subject.cells[k]];
  const carried = subject.cell.carried.map((name) => [name, stateAt(subject, k, name, t)]);
  const states = { ...Object.fromEntries(carried), [quantity]: put };
  if (quantity === "h") return states;
  const m = Float64Array.from(put, (value, u) => track.values.o[t * cell.info.units + u] * Math.tanh(value));
  const { weight_hr: weight } = cell.weights;
  const projected = new Float64Array(cell.info.outputs);
  if (weight !== null) affine(m, 1, weight, null, projected);
  return { ...states, h: Float32Array.from(weight === null ? m : projected) };
}

/** Recomputes a track above the patched one, whose input has changed; `input`: [T, C]; `range`: the changed steps. */
function* rescanned(
  subject: Subject,
  k: number,
  input: Float32Array,
  { low, high }: { low: number; high: number },
  end: number | null,
): Steps<Float32Array> {
  const [track, cell] = [subject.tracks[k], subject.cells[k]];
  const first = cell.info.reverse ? high : low;
  const steps = stepsFrom(cell.info.reverse, subject.steps, first, end);
  return yield* scanOn(cell, input, statesBefore(track, first), steps, track.values.h.slice());
}

/** `input`: [T, C]; `steps`: in reading order; `h`: [T, P] output, at these steps; returns h */
function* scanOn(
  cell: Subject["cells"][number],
  input: Float32Array,
  before: Rows,
  steps: number[],
  h: Float32Array,
): Steps<Float32Array> {
  const { inputSize: C, outputs: P } = cell.info;
  let state = before;
  for (const t of steps) {
    state = cell.stepRows(inputPart(cell, input.subarray(t * C, (t + 1) * C), 1), state, 1);
    h.set(state.h, t * P);
    yield 0;
  }
  return h;
}

/** The steps from `first` on, in reading order, to the end or to a given step. */
function stepsFrom(reverse: boolean, T: number, first: number, end: number | null): number[] {
  const until = end ?? (reverse ? 0 : T - 1);
  return readingOrder(reverse, T, until).filter((t) => (reverse ? t <= first : t >= first));
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
