// An LSTM, a GRU or a plain RNN: its stacked layers and directions.

import { INT8, MOST_LAYERS } from "studio/facts.js";
import { sideBySide } from "studio/runtime/arrays.js";
import { Cell } from "studio/runtime/cell.js";
import { type BoundEdit, bound } from "studio/runtime/edits.js";
import { damaged, ModelError } from "studio/runtime/errors.js";
import type { CellKind } from "studio/runtime/kinds.js";
import type { Weights } from "studio/runtime/weights.js";
import type { Edit, Track, TrackInfo, TrackWeights } from "studio/types.js";

export interface Sizes {
  inputSize: number; // C
  hiddenSize: number; // H
  numLayers: number; // L
  bidirectional: boolean;
  bias: boolean;
  projSize: number; // P, 0 without a projection; only LSTMs have one
}

/** of every layer and direction, by name */
export type State = Record<string, Float32Array>[];

/** States with what `given` has for all layers, in order, in place of zeros; `shape`: of all layers. */
export function withStates(zeros: State, given: (name: string, shape: number[]) => Float32Array | null): State {
  for (const [name, { length }] of Object.entries(zeros[0])) {
    const all = given(name, [zeros.length, length]);
    if (all) zeros.forEach((state, k) => state[name].set(all.subarray(k * length, (k + 1) * length)));
  }
  return zeros;
}

const MOST = 2 ** 25; // maximum number of values that one run may record

export class Lstm {
  tracks: TrackInfo[];
  cells: Cell[];
  outputSize: number;

  constructor(
    public sizes: Sizes,
    weights: Weights,
    prefix: string,
    public kind: CellKind,
  ) {
    this.tracks = tracksOf(sizes);
    this.cells = this.tracks.map((info) => new Cell(info, trackWeights(info, sizes, weights, prefix, kind), kind));
    this.outputSize = (sizes.bidirectional ? 2 : 1) * (sizes.projSize || sizes.hiddenSize);
  }

  /** @returns zeros */
  begin(): State {
    return this.cells.map((cell) => cell.states(cell.room(1)));
  }

  /** Checks a run's length and edits before anything is computed; `T` is null for a stream. */
  bind(edits: readonly Edit[], T: number | null): BoundEdit[] {
    if (T !== null) checkLength(T, this.tracks, this.kind);
    return edits.map((edit) => bound(edit, this.tracks, this.kind, T));
  }

  /** `x`: [T, C]; `start`: the index of the first of these steps in the whole input; `out` is [T, D*P] */
  run(x: Float32Array, T: number, edits: readonly BoundEdit[] = [], state = this.begin(), start: number = 0) {
    const directions = this.sizes.bidirectional ? 2 : 1;
    const tracks: Track[] = [];
    const ends: State = [];
    let input = x;
    for (let first = 0; first < this.cells.length; first += directions) {
      for (let k = first; k < first + directions; k++) {
        const done = this.cells[k].scan(input, T, state[k], edits, start);
        tracks.push(done.track);
        ends.push(done.state);
      }
      const outputs = tracks.slice(first).map(({ values }) => values.h);
      input = sideBySide(outputs, T);
    }
    return { tracks, out: input, state: ends };
  }
}

function checkLength(T: number, tracks: TrackInfo[], { gates, states }: CellKind) {
  const numbers = tracks.reduce((sum, { units }) => sum + (gates.length + states.length) * units, 0);
  if (T * numbers > MOST) {
    const advice = "Shorten it: all gates and states of every step are stored.";
    throw new ModelError(`${T} steps`, `at most ${Math.floor(MOST / numbers)}`, advice);
  }
}

/** @returns in torch's order */
export function tracksOf(sizes: Sizes): TrackInfo[] {
  if (sizes.numLayers > MOST_LAYERS) throw damaged(`a model of ${sizes.numLayers} layers`, `at most ${MOST_LAYERS}`);
  const outputs = sizes.projSize || sizes.hiddenSize;
  const directions = sizes.bidirectional ? [false, true] : [false];
  return Array.from({ length: sizes.numLayers }, (_, layer) =>
    directions.map((reverse) => ({
      ...{ name: `l${layer}${reverse ? "r" : ""}`, layer, reverse, units: sizes.hiddenSize, outputs },
      inputSize: layer === 0 ? sizes.inputSize : directions.length * outputs,
    })),
  ).flat();
}

/** The stems of torch's parameters of a layer and direction, in torch's order, and their shapes; `rows`: of all gates. */
export function parameterShapes({ bias, projSize }: Sizes, { units, inputSize, outputs }: TrackInfo, rows: number) {
  const shapes: [Exclude<keyof TrackWeights, "rounds">, number[]][] = [
    ["weight_ih", [rows, inputSize]],
    ["weight_hh", [rows, outputs]],
  ];
  if (bias) shapes.push(["bias_ih", [rows]], ["bias_hh", [rows]]);
  if (projSize) shapes.push(["weight_hr", [outputs, units]]);
  return shapes;
}

/** The suffix of torch's names: "_l1_reverse". */
export const suffixOf = ({ layer, reverse }: TrackInfo) => `_l${layer}${reverse ? "_reverse" : ""}`;

function trackWeights(info: TrackInfo, sizes: Sizes, weights: Weights, prefix: string, kind: CellKind): TrackWeights {
  const named = (stem: string) => prefix + stem + suffixOf(info);
  const shapes = parameterShapes(sizes, info, kind.gates.length * info.units);
  const taken = shapes.map(([stem, shape]) => [stem, weights.take(named(stem), shape)]);
  const columns = Math.max(sizes.inputSize, (sizes.bidirectional ? 2 : 1) * info.units);
  const canRound = info.units >= INT8.units && columns <= INT8.columns && !sizes.projSize;
  const rounds = canRound && weights.isInt8(named("weight_ih")) && kind.isAdditive;
  return { rounds, bias_ih: null, bias_hh: null, weight_hr: null, ...Object.fromEntries(taken) };
}
