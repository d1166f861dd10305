// Embeds a word's characters: the final states of a bidirectional LSTM that reads them.

import { kindOf } from "studio/runtime/kinds.js";
import { Lstm } from "studio/runtime/lstm.js";
import { codePoints, embedded } from "studio/runtime/vocabulary.js";
import { count } from "studio/runtime/weights.js";

/** @typedef {import("studio/runtime/kinds.js").Letters} Letters */
/** @typedef {import("studio/runtime/vocabulary.js").Vocabulary} Vocabulary */
/** @typedef {import("studio/runtime/weights.js").Weights} Weights */

const REMEMBERED = 4096; // number of words to cache, so that typing does not spell the whole sentence again

/** Spells words. */
export class Speller {
  /**
   * @param {any} config
   * @param {Vocabulary} chars
   * @param {Weights} weights
   * @param {Letters} letters
   */
  constructor(config, chars, weights, letters) {
    const [charSize, hiddenSize] = [count(config, "char_size"), count(config, "char_hidden_size")];
    this.chars = chars;
    this.charSize = charSize;
    this.longest = count(config, "max_chars", 2);
    this.embedding = weights.take("char_embedding.weight", [chars.size, charSize]);
    const sizes = { inputSize: charSize, hiddenSize, numLayers: 1, bidirectional: true, bias: true, projSize: 0 };
    this.lstm = new Lstm(sizes, weights, "char_lstm.", kindOf(config, letters));
    /** @type {Map<string, Float32Array>} */
    this.spelt = new Map();
  }

  /**
   * @param {string} word
   * @returns {Float32Array} [2H]
   */
  spell(word) {
    const known = this.spelt.get(word);
    if (known !== undefined) return known;
    const found = this.spellIds(this.shortened(codePoints(word)).map((char) => this.chars.id(char)));
    if (this.spelt.size >= REMEMBERED) this.spelt.clear();
    this.spelt.set(word, found);
    return found;
  }

  /**
   * @param {number[]} ids of characters
   * @returns {Float32Array} [2H]
   */
  spellIds(ids) {
    const { state } = this.lstm.run(embedded(this.embedding, this.charSize, ids), ids.length);
    return Float32Array.from(state.flatMap(({ h }) => Array.from(h)));
  }

  /**
   * @param {string[]} chars
   * @returns {string[]} the first and last characters of a long word
   */
  shortened(chars) {
    const half = Math.floor(this.longest / 2);
    return chars.length <= this.longest ? chars : [...chars.slice(0, half), ...chars.slice(-half)];
  }
}
