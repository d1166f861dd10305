// A layer without a vocabulary: it reads numbers.

import { common, layerParts, noText, unlabelled } from "studio/runtime/common.js";
import { refuse } from "studio/runtime/errors.js";
import { createSubject } from "studio/runtime/explain/subject.js";
import { kindNamed } from "studio/runtime/kinds.js";
import { type Sizes, type State, Lstm, withStates } from "studio/runtime/lstm.js";
import { createStream } from "studio/runtime/stream.js";
import { allFinite, count, flag, type Weights } from "studio/runtime/weights.js";
import type { BundleHead, Model } from "studio/types.js";

export function plain(head: BundleHead, weights: Weights): Model {
  const lstm = new Lstm(configSizes(head.config), weights, "", kindNamed(head.cell, head.cells));
  const { inputSize } = lstm.sizes;
  const state = givenStates(lstm.begin(), weights);

  const runNumbers: Model["runNumbers"] = (numbers, edits = [], names = null) => {
    if (numbers.length === 0) refuse("no step", "at least one", "Give it some numbers.");
    numbers.forEach((row) => check(row, inputSize));
    const T = numbers.length;
    const bound = lstm.bind(edits, T);
    const x = new Float32Array(T * inputSize);
    numbers.forEach((row, t) => x.set(row, t * inputSize));
    const { tracks } = lstm.run(x, T, bound, state);
    return Object.freeze({ ...unlabelled(names ?? tokensOf(head, T), tracks), edits });
  };

  const givenRows = () => {
    const T = count(head.given, "steps");
    const x = weights.take("given.input", [T, inputSize]);
    return Array.from({ length: T }, (_, t) => x.subarray(t * inputSize, (t + 1) * inputSize));
  };

  const source = {
    ...{ lstm, check: (x: Float32Array) => check(x, inputSize) },
    begin: () => state,
    embed: () => refuse("a word", "numbers", "It has no vocabulary: pass a row of numbers."),
    finish: unlabelled,
  };
  return {
    ...common(head, lstm),
    ...{ kind: "layer", unit: "step", runNumbers, parts: layerParts(lstm.tracks, lstm.kind) },
    ...{ tokenise: noText, run: noText },
    stream: (edits) => createStream(source, edits),
    subject: (run) => {
      const baseline = () => new Float32Array(inputSize);
      return createSubject(run, lstm, run.tracks, { readers: [], baseline, baselineName: "zeros" });
    },
    given: weights.has("given.input") ? runNumbers(givenRows()) : null,
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

/** The initial states that came with a layer or trace, for others zeros; `how`: those of a trace may be any numbers. */
export const givenStates = (zeros: State, weights: Weights, how: "take" | "values" = "take"): State =>
  withStates(zeros, (name, shape) => (weights.has(`given.${name}0`) ? weights[how](`given.${name}0`, shape) : null));

function check(row: Float32Array, size: number) {
  if (row.length !== size) refuse(`a step of ${row.length} numbers`, `${size}`, "Give as many as it reads.");
  if (!allFinite(row)) refuse("a number that is not finite", "finite numbers", "Fix the input.");
}
