// A tagger's columns of tags: their labels, and the prediction.

import { Chain } from "studio/runtime/chain.js";
import { damaged } from "studio/runtime/errors.js";
import { highestScores, softmax } from "studio/runtime/softmax.js";
import { type Weights, flag, strings } from "studio/runtime/weights.js";

const SMALLEST = 2 ** -126; // the smallest float32 at full precision, as in Python

export interface Column {
  name: string;
  tags: string[]; // K of them
  temperature: number;
  chain: Chain | null;
}

export function tagColumns(config: any, vocabulary: any, weights: Weights): Column[] {
  return strings(config?.columns, "columns").map((name) => {
    const tags = strings(vocabulary.tags?.[name], `tags of ${name}`);
    const temperature = vocabulary.temperatures?.[name];
    if (!(temperature > 0 && temperature < Infinity)) {
      throw damaged(`the temperature of ${name} is ${temperature}`, "a finite number above 0");
    }
    const chain = flag(config, "crf") ? new Chain(tags.length, weights, `chains.${name}.`) : null;
    return { name, tags, temperature, chain };
  });
}

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
