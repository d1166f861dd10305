// An LSTM, a GRU or a plain RNN: its stacked layers and directions.

import { sideBySide } from "studio/runtime/arrays.js";
import { Cell } from "studio/runtime/cell.js";
import { bind } from "studio/runtime/edits.js";
import { damaged, StudioError } from "studio/runtime/errors.js";

/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/types.js").TrackWeights} TrackWeights */
/** @typedef {import("studio/runtime/edits.js").BoundEdit} BoundEdit */
/** @typedef {import("studio/runtime/weights.js").Weights} Weights */

/**
 * @typedef {object} Sizes
 * @property {number} inputSize C
 * @property {number} hiddenSize H
 * @property {number} numLayers L
 * @property {boolean} bidirectional
 * @property {boolean} bias
 * @property {number} projSize P, 0 without a projection; only LSTMs have one
 */

/** @typedef {Record<string, Float32Array>[]} State of every layer and direction, by name */

const MOST = 2 ** 25; // maximum number of values that one run may record
const MOST_LAYERS = 4096; // as in hiddenstate.models.model_file

/** A recurrent layer with its weights. */
export class Lstm {
  /**
   * @param {Sizes} sizes
   * @param {Weights} weights
   * @param {string} prefix of the weights' names
   * @param {CellKind} kind
   */
  constructor(sizes, weights, prefix, kind) {
    this.sizes = sizes;
    this.kind = kind;
    this.tracks = tracksOf(sizes);
    this.cells = this.tracks.map((info) => new Cell(info, weightsOf(info, sizes, weights, prefix, kind), kind));
    this.outputSize = (sizes.bidirectional ? 2 : 1) * (sizes.projSize || sizes.hiddenSize);
  }

  /** @returns {State} zeros */
  begin() {
    return this.cells.map((cell) => cell.states(cell.room(1)));
  }

  /**
   * Checks a run's length and edits before anything is computed.
   * @param {readonly Edit[]} edits
   * @param {number | null} T null: a stream
   * @returns {BoundEdit[]}
   */
  bind(edits, T) {
    if (T !== null) checkLength(T, this.tracks, this.kind);
    return bind(edits, this.tracks, this.kind, T);
  }

  /**
   * @param {Float32Array} x [T, C]
   * @param {number} T
   * @param {readonly BoundEdit[]} edits
   * @param {State} state
   * @param {number} start the index of the first of these steps in the whole input
   * @returns {{tracks: Track[], out: Float32Array, state: State}} out is [T, D*P]
   */
  run(x, T, edits = [], state = this.begin(), start = 0) {
    const directions = this.sizes.bidirectional ? 2 : 1;
    /** @type {Track[]} */
    const tracks = [];
    /** @type {State} */
    const ends = [];
    let input = x;
    for (let first = 0; first < this.cells.length; first += directions) {
      for (let k = first; k < first + directions; k++) {
        const done = this.cells[k].scan(input, T, state[k], edits, start);
        tracks.push(done.track);
        ends.push(done.state);
      }
      input = sideBySide(tracks.slice(first).map(({ values }) => values.h), T);
    }
    return { tracks, out: input, state: ends };
  }
}

/**
 * @param {number} T
 * @param {TrackInfo[]} tracks
 * @param {CellKind} kind
 */
function checkLength(T, tracks, { gates, states }) {
  const numbers = tracks.reduce((sum, { units }) => sum + (gates.length + states.length) * units, 0);
  if (T * numbers > MOST) {
    const advice = "Shorten it: all gates and states of every step are stored.";
    throw new StudioError(`${T} steps`, `at most ${Math.floor(MOST / numbers)}`, advice);
  }
}

/**
 * @param {Sizes} sizes
 * @returns {TrackInfo[]} in torch's order
 */
export function tracksOf(sizes) {
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

/**
 * @param {TrackInfo} info
 * @param {Sizes} sizes
 * @param {Weights} weights
 * @param {string} prefix
 * @param {CellKind} kind
 * @returns {TrackWeights}
 */
function weightsOf(info, sizes, weights, prefix, kind) {
  const rows = kind.gates.length * info.units;
  const take = (/** @type {string} */ stem, /** @type {number[]} */ shape) =>
    weights.take(`${prefix}${stem}_l${info.layer}${info.reverse ? "_reverse" : ""}`, shape);
  return {
    weight_ih: take("weight_ih", [rows, info.inputSize]),
    weight_hh: take("weight_hh", [rows, info.outputs]),
    bias_ih: sizes.bias ? take("bias_ih", [rows]) : null,
    bias_hh: sizes.bias ? take("bias_hh", [rows]) : null,
    weight_hr: sizes.projSize ? take("weight_hr", [info.outputs, info.units]) : null,
  };
}
