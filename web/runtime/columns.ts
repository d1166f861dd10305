// A tagger's columns of tags: their labels, and the prediction.

import { damaged } from "studio/runtime/errors.js";
import { highestScores, softmax, logSumExp } from "studio/runtime/softmax.js";
import { flag, strings, type Weights } from "studio/runtime/weights.js";

const SMALLEST = 2 ** -126; // the smallest float32 at full precision, as in Python

export interface Column {
  name: string;
  tags: string[]; // K of them
  temperature: number;
  chain: ReturnType<typeof readChain> | null;
}

export const tagColumns = (config: any, vocabulary: any, weights: Weights): Column[] =>
  strings(config?.columns, "columns").map((name) => {
    const tags = strings(vocabulary.tags?.[name], `tags of ${name}`);
    const temperature = vocabulary.temperatures?.[name];
    if (!(temperature > 0 && temperature < Infinity)) {
      throw damaged(`the temperature of ${name} is ${temperature}`, "a finite number above 0");
    }
    const chain = flag(config, "crf") ? readChain(tags.length, weights, `chains.${name}.`) : null;
    return { name, tags, temperature, chain };
  });

/** @param logits [T, K] */
export function found({ tags, temperature, chain }: Column, logits: Float32Array) {
  const K = tags.length;
  if (chain === null) return { probabilities: softmax(logits, K, temperature), chosen: highestScores(logits, K) };
  const logarithms = chain.marginals(logits).map((share) => Math.log(Math.max(share, SMALLEST)));
  return { probabilities: softmax(logarithms, K, temperature), chosen: chain.best(logits) };
}

/** Scores of a tag at the start, after another tag, and at the end. */
function readChain(K: number, weights: Weights, prefix: string) {
  const start = weights.take(`${prefix}start`, [K]);
  const transitions = weights.take(`${prefix}transitions`, [K, K]);
  const end = weights.take(`${prefix}end`, [K]);

  /** The most probable tag sequence, by Viterbi's algorithm; `scores`: [T, K]; returns [T]. */
  const best = (scores: Float32Array): Int32Array => {
    const T = scores.length / K;
    const origins = new Int32Array(T * K); // the best previous tag of each
    let sums = Float64Array.from(start, (value, k) => value + scores[k]); // the highest that ends in each tag
    for (let t = 1; t < T; t++) {
      const before = sums;
      sums = before.map((_, to) => {
        const way = (from: number) => before[from] + transitions[from * K + to];
        let from = 0;
        for (let k = 1; k < K; k++) if (way(k) > way(from)) from = k;
        origins[t * K + to] = from;
        return way(from) + scores[t * K + to];
      });
    }
    const tags = new Int32Array(T);
    const ends = sums.map((value, k) => value + end[k]);
    [tags[T - 1]] = highestScores(ends, K);
    for (let t = T - 1; t > 0; t--) tags[t - 1] = origins[t * K + tags[t]];
    return tags;
  };

  /** Each tag's probability at each word, over all sequences of tags; `scores`: [T, K]; returns [T, K]. */
  const marginals = (scores: Float32Array): Float64Array => {
    const T = scores.length / K;
    /** Logarithms of sums over what comes before each word, in one direction, the word itself included. */
    const sums = (order: number[], first: Float32Array, weight: (from: number, to: number) => number) => {
      const all = new Float64Array(T * K);
      const ways = new Float64Array(K);
      order.forEach((t, n) => {
        for (let to = 0; to < K; to++) {
          for (let k = 0; n > 0 && k < K; k++) ways[k] = all[order[n - 1] * K + k] + weight(k, to);
          all[t * K + to] = (n > 0 ? logSumExp(ways, 0, K) : first[to]) + scores[t * K + to];
        }
      });
      return all;
    };
    const order = Array.from({ length: T }, (_, t) => t);
    const ahead = sums(order, start, (from, to) => transitions[from * K + to]);
    const behind = sums([...order].reverse(), end, (from, to) => transitions[to * K + from]);
    const both = ahead.map((value, k) => value + behind[k] - scores[k]);
    const total = logSumExp(both, 0, K);
    return both.map((value) => Math.exp(value - total));
  };
  return { best, marginals };
}
