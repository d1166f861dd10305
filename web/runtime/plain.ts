// A layer without a vocabulary: it reads numbers.

import { common, layerParts } from "studio/runtime/common.js";
import { refuse } from "studio/runtime/errors.js";
import { createSubject } from "studio/runtime/explain/subject.js";
import { kindNamed } from "studio/runtime/kinds.js";
import { type Sizes, type State, Lstm } from "studio/runtime/lstm.js";
import { createStream } from "studio/runtime/stream.js";
import { type Weights, allFinite, count, flag } from "studio/runtime/weights.js";
import type { BundleHead, Model, Run, Track } from "studio/types.js";

export function plain(head: BundleHead, weights: Weights): Model {
  const lstm = new Lstm(configSizes(head.config), weights, "", kindNamed(head.cell, head.cells));
  const { state, rows } = readGiven(head, lstm, weights);
  const { inputSize } = lstm.sizes;

  const runNumbers: Model["runNumbers"] = (numbers, edits = [], names = null) => {
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
    ...{ lstm, check: (x: Float32Array) => check(x, inputSize) },
    begin: () => state,
    embed: () => refuse("a word", "numbers", "It has no vocabulary: pass a row of numbers."),
    finish: finished,
  };
  return {
    ...common(head, lstm),
    ...{ kind: "layer", unit: "step", runNumbers, parts: layerParts(lstm.tracks, lstm.kind) },
    tokenise: () => refuse("a text", "numbers", "It has no vocabulary: give it rows of numbers."),
    run: () => refuse("a text", "numbers", "It has no vocabulary: give it rows of numbers."),
    stream: (edits) => createStream(source, edits),
    subject: (run) => {
      const baseline = () => new Float32Array(inputSize);
      return createSubject(run, lstm, run.tracks, { readers: [], baseline, baselineName: "zeros" });
    },
    given: rows === null ? null : runNumbers(rows),
  };
}

/** @param leastInput 0 if the input size may be unknown */
export const configSizes = (config: any, leastInput: number = 1): Sizes => ({
  inputSize: count(config, "input_size", leastInput),
  hiddenSize: count(config, "hidden_size"),
  numLayers: count(config, "num_layers"),
  bidirectional: flag(config, "bidirectional"),
  bias: flag(config, "bias"),
  projSize: count(config, "proj_size", 0),
});

/** @returns the words given with the numbers, or the step numbers */
export function tokensOf(head: BundleHead, T: number): string[] {
  const tokens = head.given?.tokens;
  return tokens && tokens.length === T ? tokens : Array.from({ length: T }, (_, t) => String(t));
}

/** The initial state of runs, and the numbers that were given with the LSTM. */
function readGiven(head: BundleHead, lstm: Lstm, weights: Weights): { state: State; rows: Float32Array[] | null } {
  const state = initialState(lstm, weights);
  if (!weights.has("given.input")) return { state, rows: null };
  const { inputSize } = lstm.sizes;
  const T = count(head.given, "steps");
  const x = weights.take("given.input", [T, inputSize]);
  return { state, rows: Array.from({ length: T }, (_, t) => x.subarray(t * inputSize, (t + 1) * inputSize)) };
}

/** @returns zeros, unless a state was given */
function initialState(lstm: Pick<Lstm, "tracks" | "begin">, weights: Weights): State {
  const state = lstm.begin();
  for (const name of Object.keys(state[0])) {
    if (!weights.has(`given.${name}0`)) continue;
    const units = state[0][name].length;
    const all = weights.take(`given.${name}0`, [state.length, units]);
    state.forEach((each, k) => each[name].set(all.subarray(k * units, (k + 1) * units)));
  }
  return state;
}

function finished(tokens: string[], tracks: Track[]): Omit<Run, "edits"> {
  return { tokens, known: tokens.map(() => true), steps: tokens.length, tracks, heads: [], surprise: null };
}

function check(row: Float32Array, size: number) {
  if (row.length !== size) refuse(`a step of ${row.length} numbers`, `${size}`, "Give as many as it reads.");
  if (!allFinite(row)) refuse("a number that is not finite", "finite numbers", "Fix the input.");
}
