// A tagger's columns of tags: their labels, and the prediction.

import { Chain } from "studio/runtime/chain.js";
import { damaged } from "studio/runtime/errors.js";
import { highestOf, softmax } from "studio/runtime/softmax.js";
import { flag, strings } from "studio/runtime/weights.js";

/** @typedef {import("studio/runtime/weights.js").Weights} Weights */

const SMALLEST = 2 ** -126; // the smallest float32 at full precision, as in Python

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string[]} tags K of them
 * @property {number} temperature
 * @property {Chain | null} chain
 */

/**
 * @param {any} config
 * @param {any} vocabulary
 * @param {Weights} weights
 * @returns {Column[]}
 */
export function tagColumns(config, vocabulary, weights) {
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

/**
 * @param {Column} column
 * @param {Float32Array} logits [T, K]
 * @returns {{probabilities: Float32Array, chosen: Int32Array}}
 */
export function found({ tags, temperature, chain }, logits) {
  const K = tags.length;
  if (chain === null) return { probabilities: softmax(logits, K, temperature), chosen: highestOf(logits, K) };
  const logarithms = chain.marginals(logits).map((share) => Math.log(Math.max(share, SMALLEST)));
  return { probabilities: softmax(logarithms, K, temperature), chosen: chain.best(logits) };
}
