// A tagger's columns of tags: their labels, and the prediction.

import { damaged } from "studio/runtime/errors.js";
import { highestScores, softmax, logSumExp } from "studio/runtime/softmax.js";
import { type Weights, flag, strings } from "studio/runtime/weights.js";

const SMALLEST = 2 ** -126; // the smallest float32 at full precision, as in Python

export interface Column {
  name: string;
  tags: string[]; // K of them
  temperature: number;
  chain: Chain | null;
}

export const tagColumns = (config: any, vocabulary: any, weights: Weights): Column[] =>
  strings(config?.columns, "columns").map((name) => {
    const tags = strings(vocabulary.tags?.[name], `tags of ${name}`);
    const temperature = vocabulary.temperatures?.[name];
    if (!(temperature > 0 && temperature < Infinity)) {
      throw damaged(`the temperature of ${name} is ${temperature}`, "a finite number above 0");
    }
    const chain = flag(config, "crf") ? new Chain(tags.length, weights, `chains.${name}.`) : null;
    return { name, tags, temperature, chain };
  });

/** @param logits [T, K] */
export function found(
  { tags, temperature, chain }: Column,
  logits: Float32Array,
): { probabilities: Float32Array; chosen: Int32Array } {
  const K = tags.length;
  if (chain === null) return { probabilities: softmax(logits, K, temperature), chosen: highestScores(logits, K) };
  const logarithms = chain.marginals(logits).map((share) => Math.log(Math.max(share, SMALLEST)));
  return { probabilities: softmax(logarithms, K, temperature), chosen: chain.best(logits) };
}

/** Scores of a tag at the start, after another tag, and at the end. */
class Chain {
  start: Float32Array;
  transitions: Float32Array;
  end: Float32Array;

  constructor(
    private K: number,
    weights: Weights,
    prefix: string,
  ) {
    this.start = weights.take(`${prefix}start`, [K]);
    this.transitions = weights.take(`${prefix}transitions`, [K, K]);
    this.end = weights.take(`${prefix}end`, [K]);
  }

  /** The most probable tag sequence, by Viterbi's algorithm; `scores`: [T, K]; returns [T]. */
  best(scores: Float32Array): Int32Array {
    const { K } = this;
    const T = scores.length / K;
    let state: Float64Array = Float64Array.from(this.start, (value, k) => value + scores[k]);
    const origins = new Int32Array(T * K);
    for (let t = 1; t < T; t++) state = this.highest(state, scores, origins, t);
    const tags = new Int32Array(T);
    [tags[T - 1]] = highestScores(
      state.map((value, k) => value + this.end[k]),
      K,
    );
    for (let t = T - 1; t > 0; t--) tags[t - 1] = origins[t * K + tags[t]];
    return tags;
  }

  /** `origins`: output: the best previous tag of each; returns the highest sum ending in each tag */
  highest(before: Float64Array, scores: Float32Array, origins: Int32Array, t: number): Float64Array {
    const { K, transitions } = this;
    return before.map((_, to) => {
      let from = 0;
      for (let k = 1; k < K; k++) {
        if (before[k] + transitions[k * K + to] > before[from] + transitions[from * K + to]) from = k;
      }
      origins[t * K + to] = from;
      return before[from] + transitions[from * K + to] + scores[t * K + to];
    });
  }

  /** Each tag's probability at each word, over all sequences of tags; `scores`: [T, K]; returns [T, K]. */
  marginals(scores: Float32Array): Float64Array {
    const { K } = this;
    const T = scores.length / K;
    const ahead = this.ahead(scores, T);
    const behind = this.behind(scores, T);
    const sums = ahead.map((value, k) => value + behind[k]);
    const total = logSumExp(sums, 0, K);
    return sums.map((value) => Math.exp(value - total));
  }

  /** @returns [T, K] logarithms of the forward sums, including the word itself */
  ahead(scores: Float32Array, T: number): Float64Array {
    const { K, transitions } = this;
    const sums = new Float64Array(T * K);
    const ways = new Float64Array(K);
    for (let k = 0; k < K; k++) sums[k] = this.start[k] + scores[k];
    for (let t = 1; t < T; t++) {
      for (let to = 0; to < K; to++) {
        for (let k = 0; k < K; k++) ways[k] = sums[(t - 1) * K + k] + transitions[k * K + to];
        sums[t * K + to] = logSumExp(ways, 0, K) + scores[t * K + to];
      }
    }
    return sums;
  }

  /** @returns [T, K] logarithms of the backward sums */
  behind(scores: Float32Array, T: number): Float64Array {
    const { K, transitions } = this;
    const sums = new Float64Array(T * K);
    const ways = new Float64Array(K);
    sums.set(this.end, (T - 1) * K);
    for (let t = T - 2; t >= 0; t--) {
      const next = (t + 1) * K;
      for (let from = 0; from < K; from++) {
        for (let k = 0; k < K; k++) ways[k] = transitions[from * K + k] + scores[next + k] + sums[next + k];
        sums[t * K + from] = logSumExp(ways, 0, K);
      }
    }
    return sums;
  }
}
