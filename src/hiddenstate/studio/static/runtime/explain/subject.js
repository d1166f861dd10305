// Subjects of an explanation: a model's run, with baselines and with readers, which are linear layers followed by a
// softmax.

import { refuse } from "studio/runtime/common.js";
import { logSumExp } from "studio/runtime/softmax.js";

/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/types.js").Reader} Reader */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Subject} Subject */
/** @typedef {import("studio/runtime/lstm.js").Lstm} Lstm */

/**
 * @typedef {object} Around the parts of the model around the LSTM
 * @property {number} [lead]
 * @property {string[]} [before] the tokens of those steps
 * @property {Reader[]} readers
 * @property {() => Float32Array} baseline
 * @property {string} baselineName
 */

/**
 * @param {Run} run without edits
 * @param {Lstm} lstm
 * @param {Subject["tracks"]} tracks its values
 * @param {Around} around
 * @returns {Subject}
 */
export function subjectOf(run, lstm, tracks, { lead = 0, before = [], readers, baseline, baselineName }) {
  return {
    ...{ cell: lstm.kind, cells: lstm.cells, tracks, lead, readers, baselineName },
    steps: run.steps + lead,
    tokens: [...before, ...run.tokens],
    initial: tracks.map(({ initial }) => initial),
    baseline: once(baseline),
  };
}

/**
 * The subject of a recorded run, without weights.
 * @param {Run} run
 * @param {CellKind} cell
 * @returns {Subject}
 */
export function recordedSubject(run, cell) {
  const no = () => refuse("a trace, which has no weights", "a model that runs", "Open the model itself.");
  return {
    ...{ cell, cells: [], tracks: run.tracks, steps: run.steps, lead: 0, tokens: run.tokens, readers: [] },
    initial: run.tracks.map(({ initial }) => initial),
    ...{ baseline: no, baselineName: "" },
  };
}

/**
 * @template T
 * @param {() => T} make
 * @returns {() => T} computes it on first use
 */
function once(make) {
  /** @type {{value: T} | null} */
  let made = null;
  return () => (made ??= { value: make() }).value;
}

/**
 * The reader for a linear layer, or for some of its rows, whose logits go through a softmax.
 * @param {string} name
 * @param {string[]} labels K of them
 * @param {Float32Array} weight [K, F]
 * @param {Float32Array} bias [K]
 * @param {number | null} temperature divides the logits; null if probabilities do not depend on a single step
 * @returns {Reader}
 */
export function linearReader(name, labels, weight, bias, temperature) {
  const F = weight.length / labels.length;
  const row = (/** @type {number} */ k) => weight.subarray(k * F, (k + 1) * F);
  const logProbability = (/** @type {Float32Array} */ out, /** @type {number} */ label) => {
    const scores = Float64Array.from(labels, (_, k) => (dotted(row(k), out) + bias[k]) / (temperature ?? 1));
    return scores[label] - logSumExp(scores, 0, scores.length);
  };
  return {
    ...{ name, labels },
    logit: (label) => ({ vector: Float64Array.from(row(label)), bias: bias[label] }),
    logProbability: temperature === null ? null : logProbability,
  };
}

/**
 * @param {Float32Array} weights
 * @param {Float32Array} values
 */
function dotted(weights, values) {
  let sum = 0;
  for (let k = 0; k < weights.length; k++) sum += weights[k] * values[k];
  return sum;
}

/**
 * The mean of some vectors, weighted by their counts.
 * @param {readonly number[]} counts [V]
 * @param {(ids: number[]) => Float32Array} embed [n, E]
 * @returns {Float32Array} [E]
 */
export function meanVector(counts, embed) {
  const seen = counts.flatMap((count, id) => (count > 0 ? [id] : []));
  const vectors = embed(seen);
  const E = vectors.length / seen.length;
  const sums = new Float64Array(E);
  seen.forEach((id, n) => {
    for (let e = 0; e < E; e++) sums[e] += counts[id] * vectors[n * E + e];
  });
  const total = seen.reduce((sum, id) => sum + counts[id], 0);
  return Float32Array.from(sums, (sum) => sum / total);
}
