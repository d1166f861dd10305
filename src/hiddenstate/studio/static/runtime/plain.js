// A layer without a vocabulary: it reads numbers.

import { common, layerParts, refuse } from "studio/runtime/common.js";
import { subjectOf } from "studio/runtime/explain/subject.js";
import { kindNamed } from "studio/runtime/kinds.js";
import { Lstm } from "studio/runtime/lstm.js";
import { streamOf } from "studio/runtime/stream.js";
import { allFinite, count, flag } from "studio/runtime/weights.js";

/** @typedef {import("studio/types.js").BundleHead} BundleHead */
/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/runtime/lstm.js").Sizes} Sizes */
/** @typedef {import("studio/runtime/lstm.js").State} State */
/** @typedef {import("studio/runtime/weights.js").Weights} Weights */

/**
 * @param {BundleHead} head
 * @param {Weights} weights
 * @returns {Model}
 */
export function plain(head, weights) {
  const lstm = new Lstm(configSizes(head.config), weights, "", kindNamed(head.cell, head.cells));
  const { state, rows } = givenOf(head, lstm, weights);
  const { inputSize } = lstm.sizes;

  /** @type {Model["runNumbers"]} */
  const runNumbers = (numbers, edits = [], names = null) => {
    if (numbers.length === 0) refuse("no step", "at least one", "Give it some numbers.");
    numbers.forEach((row) => check(row, inputSize));
    const T = numbers.length;
    const bound = lstm.bind(edits, T);
    const x = new Float32Array(T * inputSize);
    numbers.forEach((row, t) => x.set(row, t * inputSize));
    const { tracks } = lstm.run(x, T, bound, state);
    return Object.freeze({ ...finished(names ?? tokensOf(head, T), tracks), edits });
  };

  const source = {
    ...{ lstm, check: (/** @type {Float32Array} */ x) => check(x, inputSize) },
    begin: () => state,
    embed: () => refuse("a word", "numbers", "It has no vocabulary: pass a row of numbers."),
    finish: finished,
  };
  return {
    ...common(head, lstm),
    ...{ kind: "layer", unit: "step", runNumbers, parts: layerParts(lstm.tracks, lstm.kind) },
    tokenise: () => refuse("a text", "numbers", "It has no vocabulary: give it rows of numbers."),
    run: () => refuse("a text", "numbers", "It has no vocabulary: give it rows of numbers."),
    stream: (edits) => streamOf(source, edits),
    subject: (run) => {
      const baseline = () => new Float32Array(inputSize);
      return subjectOf(run, lstm, run.tracks, { readers: [], baseline, baselineName: "zeros" });
    },
    given: rows === null ? null : runNumbers(rows),
  };
}

/**
 * @param {any} config
 * @param {number} [leastInput] 0 if the input size may be unknown
 * @returns {Sizes}
 */
export function configSizes(config, leastInput = 1) {
  return {
    inputSize: count(config, "input_size", leastInput),
    hiddenSize: count(config, "hidden_size"),
    numLayers: count(config, "num_layers"),
    bidirectional: flag(config, "bidirectional"),
    bias: flag(config, "bias"),
    projSize: count(config, "proj_size", 0),
  };
}

/**
 * @param {BundleHead} head
 * @param {number} T
 * @returns {string[]} the words given with the numbers, or the step numbers
 */
export function tokensOf(head, T) {
  const tokens = head.given?.tokens;
  return tokens && tokens.length === T ? tokens : Array.from({ length: T }, (_, t) => String(t));
}

/**
 * The initial state of runs, and the numbers that were given with the LSTM.
 * @param {BundleHead} head
 * @param {Lstm} lstm
 * @param {Weights} weights
 * @returns {{state: State, rows: Float32Array[] | null}}
 */
function givenOf(head, lstm, weights) {
  const state = initialState(lstm, weights);
  if (!weights.has("given.input")) return { state, rows: null };
  const { inputSize } = lstm.sizes;
  const T = count(head.given, "steps");
  const x = weights.take("given.input", [T, inputSize]);
  return { state, rows: Array.from({ length: T }, (_, t) => x.subarray(t * inputSize, (t + 1) * inputSize)) };
}

/**
 * @param {Pick<Lstm, "tracks" | "begin">} lstm
 * @param {Weights} weights
 * @returns {State} zeros, unless a state was given
 */
function initialState(lstm, weights) {
  const state = lstm.begin();
  for (const name of Object.keys(state[0])) {
    if (!weights.has(`given.${name}0`)) continue;
    const units = state[0][name].length;
    const all = weights.take(`given.${name}0`, [state.length, units]);
    state.forEach((each, k) => each[name].set(all.subarray(k * units, (k + 1) * units)));
  }
  return state;
}

/**
 * @param {string[]} tokens
 * @param {Track[]} tracks
 * @returns {Omit<Run, "edits">}
 */
function finished(tokens, tracks) {
  return { tokens, known: tokens.map(() => true), steps: tokens.length, tracks, heads: [], surprise: null };
}

/**
 * @param {Float32Array} row
 * @param {number} size
 */
function check(row, size) {
  if (row.length !== size) refuse(`a step of ${row.length} numbers`, `${size}`, "Give as many as it reads.");
  if (!allFinite(row)) refuse("a number that is not finite", "finite numbers", "Fix the input.");
}
