// Contextual word vectors: the states of two character language models at the word boundaries (Akbik et al. 2018).

import { damaged } from "studio/runtime/errors.js";
import { roundToHalf } from "studio/runtime/half.js";
import type { Letters } from "studio/runtime/kinds.js";
import { type LanguageCore, languageCore } from "studio/runtime/language-core.js";
import type { Weights } from "studio/runtime/weights.js";

const BORDER = "\n"; // the context that each model reads before the sentence

export function createContext(data: any, weights: Weights, letters: Letters) {
  const before = part(data, "forward", false, weights, letters);
  const after = part(data, "backward", true, weights, letters);
  const size = before.lstm.outputSize + after.lstm.outputSize;

  /** Returns [T, C'] in half precision, as in Python. */
  const vectors = (words: readonly string[]): Float32Array => {
    const spelt = words.map((word) => [...word]);
    const text = [...words.join(" ")];
    let end = -1;
    const ends = spelt.map(({ length }) => (end += length + 1));
    const ahead = states(before, text, ends);
    const starts = spelt.map(({ length }, k) => text.length - ends[k] + length);
    const behind = states(after, text.reverse(), starts);
    const out = new Float32Array(words.length * size);
    words.forEach((_, t) => {
      out.set(ahead[t], t * size);
      out.set(behind[t], t * size + ahead[t].length);
    });
    return out.map(roundToHalf);
  };
  return { size, vectors };
}

/** `places`: 0 is the border; returns hidden states there */
function states(model: LanguageCore, text: string[], places: number[]): Float32Array[] {
  const ids = [BORDER, ...text].map((char) => model.id(char));
  const { out } = model.lstm.run(model.embed(ids), ids.length);
  const H = model.lstm.outputSize;
  return places.map((place) => out.subarray(place * H, (place + 1) * H));
}

function part(data: any, way: string, backward: boolean, weights: Weights, letters: Letters): LanguageCore {
  const { config, vocabulary } = data?.[way] ?? {};
  const model = languageCore(config, vocabulary, weights, `context.${way}_model.`, letters);
  if (model.level !== "char" || model.backward !== backward) {
    const reads = model.backward ? "backward" : "forward";
    throw damaged(`a model of level ${model.level} that reads ${reads} for context`, `a ${way} character model`);
  }
  return model;
}
