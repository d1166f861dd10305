// A language model's output layer: one softmax over all tokens, or an adaptive one (Grave et al. 2017).

import { damaged } from "studio/runtime/errors.js";
import { affine } from "studio/runtime/linear.js";
import { logSumExp } from "studio/runtime/softmax.js";
import { embedded } from "studio/runtime/vocabulary.js";
import type { Weights } from "studio/runtime/weights.js";

export interface Output {
  scores: (features: Float32Array, T: number) => Float32Array; // from [T, F] to [T, V], before softmax
  /** a token's readout: weights [F] and bias; null if it is in a cluster of rare tokens, with only a probability */
  row: (id: number) => { weight: Float32Array; bias: number } | null;
  embed: (ids: readonly number[]) => Float32Array; // [T, F] if weights are tied
  shape: number[]; // of its weight, or of the head of an adaptive softmax
}

export function plainOutput(F: number, V: number, weights: Weights, prefix: string): Output {
  const weight = weights.take(`${prefix}weight`, [V, F]);
  const bias = weights.take(`${prefix}bias`, [V]);
  return {
    scores: (features, T) => Float32Array.from(affine(features, T, weight, bias)),
    row: (id) => ({ weight: weight.subarray(id * F, (id + 1) * F), bias: bias[id] }),
    embed: (ids) => embedded(weight, F, ids),
    shape: [V, F],
  };
}

/** An adaptive softmax, with smaller clusters of rarer tokens. Its scores are log-probabilities. */
export function adaptiveOutput(F: number, V: number, weights: Weights, prefix: string, clusters: Clusters): Output {
  const { cutoffs, factor } = clusters;
  const [first, ends] = [cutoffs[0], [...cutoffs.slice(1), V]];
  const headRows = first + cutoffs.length;
  const headWeight = weights.take(`${prefix}head.weight`, [headRows, F]);
  const headBias = weights.take(`${prefix}head.bias`, [headRows]);
  const tails = cutoffs.map((start, k) => {
    const narrower = factor ** (k + 1);
    const width = Math.round((F - (F % narrower)) / narrower); // Python's F // narrower, without the rounding of F / narrower
    const narrow = weights.take(`${prefix}tail.${k}.0.weight`, [width, F]);
    const rows = weights.take(`${prefix}tail.${k}.1.weight`, [ends[k] - start, width]);
    return { start, count: ends[k] - start, width, narrow, rows };
  });

  const scores: Output["scores"] = (features, T) => {
    const out = new Float32Array(T * V);
    const heads = logSoftmax(affine(features, T, headWeight, headBias), headRows);
    for (let t = 0; t < T; t++) out.set(heads.subarray(t * headRows, t * headRows + first), t * V);
    tails.forEach(({ start, count, narrow, rows }, k) => {
      const inside = logSoftmax(affine(Float32Array.from(affine(features, T, narrow, null)), T, rows, null), count);
      for (let t = 0; t < T; t++) {
        const more = heads[t * headRows + first + k];
        for (let n = 0; n < count; n++) out[t * V + start + n] = inside[t * count + n] + more;
      }
    });
    return out;
  };

  const own = (id: number) => headWeight.subarray(id * F, (id + 1) * F);
  const vector = (id: number) => {
    if (id < first) return own(id);
    const tail = tails[tails.findLastIndex(({ start }) => id >= start)];
    const row = tail.rows.subarray((id - tail.start) * tail.width, (id - tail.start + 1) * tail.width);
    return transposedProduct(tail.narrow, row, F);
  };

  return {
    scores,
    row: (id) => (id < first ? { weight: own(id), bias: headBias[id] } : null),
    embed: (ids) => {
      const out = new Float32Array(ids.length * F);
      ids.forEach((id, t) => out.set(vector(id), t * F));
      return out;
    },
    shape: [headRows, F],
  };
}

type Clusters = { cutoffs: number[]; factor: number };

export function readClusters(config: any, V: number): Clusters {
  const { cutoffs = [], cutoff_factor: factor } = config ?? {};
  const fits = (each: any, k: number) => Number.isInteger(each) && each > (cutoffs[k - 1] ?? 0) && each < V;
  if (!Array.isArray(cutoffs) || !cutoffs.every(fits)) {
    throw damaged(`the model's config has cutoffs = ${JSON.stringify(cutoffs)}`, `rising numbers below ${V}`);
  }
  if (cutoffs.length > 0 && !(factor >= 1)) {
    throw damaged(`the model's config has cutoff_factor = ${JSON.stringify(factor)}`, "a number of at least 1");
  }
  return { cutoffs, factor };
}

/** `scores`: [T, K], changed; returns logarithms of probabilities */
function logSoftmax(scores: Float64Array, K: number): Float64Array {
  for (let at = 0; at < scores.length; at += K) {
    const total = logSumExp(scores, at, K);
    for (let k = at; k < at + K; k++) scores[k] -= total;
  }
  return scores;
}

/** `weight`: [R, F]; `row`: [R]; returns [F] */
export function transposedProduct(weight: Float32Array, row: Float32Array, F: number): Float32Array {
  const sums = new Float64Array(F);
  row.forEach((value, r) => {
    for (let k = 0; k < F; k++) sums[k] += value * weight[r * F + k];
  });
  return Float32Array.from(sums);
}
