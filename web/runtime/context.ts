// Contextual word vectors: the states of two character language models at the word boundaries (Akbik et al. 2018).

import { damaged } from "studio/runtime/errors.js";
import { roundToHalf } from "studio/runtime/half.js";
import type { Letters } from "studio/runtime/kinds.js";
import { LanguageCore } from "studio/runtime/language-core.js";
import { codePoints } from "studio/runtime/vocabulary.js";
import type { Weights } from "studio/runtime/weights.js";

const BORDER = "\n"; // the context that each model reads before the sentence

export class Context {
  ahead: LanguageCore;
  behind: LanguageCore;
  size: number;

  constructor(data: any, weights: Weights, letters: Letters) {
    this.ahead = part(data, "forward", false, weights, letters);
    this.behind = part(data, "backward", true, weights, letters);
    this.size = this.ahead.lstm.outputSize + this.behind.lstm.outputSize;
  }

  /** @returns [T, C'] in half precision, as in Python */
  vectors(words: readonly string[]): Float32Array {
    const spelt = words.map(codePoints);
    const text = spelt.flatMap((chars, k) => (k > 0 ? [" ", ...chars] : chars));
    const starts = runStarts(spelt);
    const ends = starts.map((start, k) => start + spelt[k].length);
    const ahead = states(this.ahead, text, ends);
    const behind = states(
      this.behind,
      text.reverse(),
      starts.map((start) => text.length - start),
    );
    const out = new Float32Array(words.length * this.size);
    words.forEach((_, t) => {
      out.set(ahead[t], t * this.size);
      out.set(behind[t], t * this.size + ahead[t].length);
    });
    return out.map(roundToHalf);
  }
}

/** @returns where each word begins in the sentence, with one space between words */
function runStarts(spelt: string[][]): number[] {
  let start = 0;
  return spelt.map((chars) => {
    const here = start;
    start += chars.length + 1;
    return here;
  });
}

/** `places`: 0 is the border; returns hidden states there */
function states(model: LanguageCore, text: string[], places: number[]): Float32Array[] {
  const ids = [BORDER, ...text].map((char) => model.id(char));
  const { out } = model.lstm.run(model.embed(ids), ids.length);
  const H = model.lstm.outputSize;
  return places.map((place) => out.subarray(place * H, (place + 1) * H));
}

function part(data: any, way: string, backward: boolean, weights: Weights, letters: Letters): LanguageCore {
  const model = new LanguageCore(
    data?.[way]?.config,
    data?.[way]?.vocabulary,
    weights,
    `context.${way}_model.`,
    letters,
  );
  if (model.level !== "char" || model.backward !== backward) {
    const reads = model.backward ? "backward" : "forward";
    throw damaged(`a model of level ${model.level} that reads ${reads} for context`, `a ${way} character model`);
  }
  return model;
}
