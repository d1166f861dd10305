// Embeds a word's characters: the final states of a bidirectional LSTM that reads them.

import { type Letters, configKind } from "studio/runtime/kinds.js";
import { Lstm } from "studio/runtime/lstm.js";
import { type Vocabulary, codePoints, embedded } from "studio/runtime/vocabulary.js";
import { type Weights, count } from "studio/runtime/weights.js";

const REMEMBERED = 4096; // number of words to cache, so that typing does not spell the whole sentence again

/** Spells words. */
export class Speller {
  chars: Vocabulary;
  charSize: number;
  longest: number;
  embedding: Float32Array;
  lstm: Lstm;
  spelt: Map<string, Float32Array>;

  constructor(config: any, chars: Vocabulary, weights: Weights, letters: Letters) {
    const [charSize, hiddenSize] = [count(config, "char_size"), count(config, "char_hidden_size")];
    this.chars = chars;
    this.charSize = charSize;
    this.longest = count(config, "max_chars", 2);
    this.embedding = weights.take("char_embedding.weight", [chars.size, charSize]);
    const sizes = { inputSize: charSize, hiddenSize, numLayers: 1, bidirectional: true, bias: true, projSize: 0 };
    this.lstm = new Lstm(sizes, weights, "char_lstm.", configKind(config, letters));
    this.spelt = new Map();
  }

  /** @returns [2H] */
  spell(word: string): Float32Array {
    const known = this.spelt.get(word);
    if (known !== undefined) return known;
    const found = this.spellIds(this.shortened(codePoints(word)).map((char) => this.chars.id(char)));
    if (this.spelt.size >= REMEMBERED) this.spelt.clear();
    this.spelt.set(word, found);
    return found;
  }

  /** `ids`: of characters; returns [2H] */
  spellIds(ids: number[]): Float32Array {
    const { state } = this.lstm.run(embedded(this.embedding, this.charSize, ids), ids.length);
    return Float32Array.from(state.flatMap(({ h }) => Array.from(h)));
  }

  /** @returns the first and last characters of a long word */
  shortened(chars: string[]): string[] {
    const half = Math.floor(this.longest / 2);
    return chars.length <= this.longest ? chars : [...chars.slice(0, half), ...chars.slice(-half)];
  }
}
