// Subjects of an explanation: a model's run, with baselines and with readers, which are linear layers followed by a
// softmax.

import { refuse } from "studio/runtime/errors.js";
import type { CellKind } from "studio/runtime/kinds.js";
import type { Lstm } from "studio/runtime/lstm.js";
import { logSumExp } from "studio/runtime/softmax.js";
import { dot } from "studio/runtime/states.js";
import type { Reader, Run, Subject } from "studio/types.js";

/** the parts of the model around the LSTM; `before`: the tokens of the steps before the run's first */
type Around = Pick<Subject, "readers" | "baseline" | "baselineName"> & { before?: string[] };
type Layers = Pick<Lstm, "kind"> & Pick<Subject, "cells">;

/** `run`: without edits; `tracks`: its values */
export function createSubject(run: Run, { kind, cells }: Layers, tracks: Subject["tracks"], around: Around): Subject {
  const { before = [], baseline, ...rest } = around;
  return {
    ...{ cell: kind, cells, tracks, lead: before.length, tokens: [...before, ...run.tokens], ...rest },
    steps: run.steps + before.length,
    initial: tracks.map(({ initial }) => initial),
    baseline: once(baseline),
  };
}

/** The subject of a recorded run, without weights. */
export function recordedSubject(run: Run, kind: CellKind): Subject {
  const baseline = () => refuse("a trace, which has no weights", "a model that runs", "Open the model itself.");
  return createSubject(run, { kind, cells: [] }, run.tracks, { readers: [], baseline, baselineName: "" });
}

/** @returns computes it on first use */
function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}

/**
 * The reader for a linear layer, or for some of its rows, whose logits go through a softmax.
 *
 * @param labels K of them
 * @param weight [K, F]
 * @param bias [K]
 * @param temperature divides the logits; null if probabilities do not depend on a single step
 */
export function linearReader(
  name: string,
  labels: string[],
  weight: Float32Array,
  bias: Float32Array,
  temperature: number | null,
): Reader {
  const F = weight.length / labels.length;
  const row = (k: number) => weight.subarray(k * F, (k + 1) * F);
  const logProbability = (out: Float32Array, label: number) => {
    const scores = Float64Array.from(labels, (_, k) => (dot(row(k), out) + bias[k]) / (temperature ?? 1));
    return scores[label] - logSumExp(scores, 0, scores.length);
  };
  return {
    ...{ name, labels },
    logit: (label) => ({ vector: Float64Array.from(row(label)), bias: bias[label] }),
    logProbability: temperature === null ? null : logProbability,
  };
}

/** The mean of some vectors, weighted by their counts; `counts`: [V]; `embed`: [n, E]; returns [E]. */
export function meanVector(counts: readonly number[], embed: (ids: number[]) => Float32Array): Float32Array {
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
