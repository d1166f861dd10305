// The tagger: reads words and their spelling with a bidirectional LSTM, and predicts tags.

import { type Column, tagColumns, found } from "studio/runtime/columns.js";
import { common, layerParts } from "studio/runtime/common.js";
import { refuse } from "studio/runtime/errors.js";
import { Context } from "studio/runtime/context.js";
import { linearReader, createSubject } from "studio/runtime/explain/subject.js";
import { type Letters, configKind } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import { Lstm } from "studio/runtime/lstm.js";
import { tokeniser } from "studio/runtime/tokenise.js";
import { embedded, UNKNOWN, Vocabulary, codePoints } from "studio/runtime/vocabulary.js";
import { type Weights, count, flag } from "studio/runtime/weights.js";
import type { BundleHead, Edit, Head, Model, Reader, Run } from "studio/types.js";

/** A tagger's parts, and how they work together. */
class Tagger {
  words: Vocabulary;
  wordSize: number;
  embedding: Float32Array;
  lowerCase: boolean;
  speller: Speller | null;
  context: Context | null;
  inputSize: number;
  lstm: Lstm;
  columns: Column[];
  scores: number;
  weight: Float32Array;
  bias: Float32Array;

  constructor(head: BundleHead, weights: Weights) {
    const { config, vocabulary } = upgraded(head);
    const letters = head.cells;
    this.words = new Vocabulary(vocabulary.words, "words");
    this.wordSize = count(config, "word_size");
    this.embedding = weights.take("word_embedding.weight", [this.words.size, this.wordSize]);
    this.lowerCase = setting(config, "lower_case");
    this.speller = config?.char_hidden_size === 0 ? null : new Speller(config, vocabulary, weights, letters);
    this.context = vocabulary.context ? new Context(vocabulary.context, weights, letters) : null;
    this.inputSize = this.wordSize + (this.speller?.lstm.outputSize ?? 0) + (this.context?.size ?? 0);
    const [hiddenSize, numLayers] = [count(config, "hidden_size"), count(config, "num_layers")];
    const bidirectional = setting(config, "bidirectional");
    const sizes = { inputSize: this.inputSize, hiddenSize, numLayers, bidirectional, bias: true, projSize: 0 };
    this.lstm = new Lstm(sizes, weights, "lstm.", configKind(config, letters));
    this.columns = tagColumns(config, vocabulary, weights);
    this.scores = this.columns.reduce((sum, { tags }) => sum + tags.length, 0);
    this.weight = weights.take("head.weight", [this.scores, this.lstm.outputSize]);
    this.bias = weights.take("head.bias", [this.scores]);
  }

  /** The form used for vocabulary look-up. */
  lookedUp = (word: string): string => (this.lowerCase ? word.toLowerCase() : word);

  /** @returns [T, C] */
  embed(words: readonly string[]): Float32Array {
    const ids = words.map((word) => this.words.id(this.lookedUp(word)));
    const vectors = embedded(this.embedding, this.wordSize, ids);
    const context = this.context?.vectors(words) ?? new Float32Array();
    const contextSize = this.context?.size ?? 0;
    const out = new Float32Array(words.length * this.inputSize);
    words.forEach((word, t) => {
      const at = t * this.inputSize;
      out.set(vectors.subarray(t * this.wordSize, (t + 1) * this.wordSize), at);
      if (this.speller !== null) out.set(this.speller.spell(word), at + this.wordSize);
      out.set(context.subarray(t * contextSize, (t + 1) * contextSize), at + this.inputSize - contextSize);
    });
    return out;
  }

  run(words: string[], edits: readonly Edit[] = []): Run {
    if (words.length === 0) refuse("no word", "at least one", "Type a sentence.");
    if (words.includes("")) refuse("a word without characters", "at least one in each", "Take it out.");
    const T = words.length;
    const bound = this.lstm.bind(edits, T);
    const { tracks, out } = this.lstm.run(this.embed(words), T, bound);
    const known = words.map((word) => this.words.has(this.lookedUp(word)));
    return Object.freeze({ tokens: words, known, steps: T, tracks, heads: this.heads(out, T), surprise: null, edits });
  }

  /** @param out [T, 2H] */
  heads(out: Float32Array, T: number): Head[] {
    const scores = new Float64Array(T * this.scores);
    affine(out, T, this.weight, this.bias, scores);
    let from = 0;
    return this.columns.map((column) => {
      const K = column.tags.length;
      const logits = new Float32Array(T * K);
      for (let at = from, t = 0; t < T; t++, at += this.scores) logits.set(scores.subarray(at, at + K), t * K);
      from += K;
      return { name: column.name, labels: column.tags, logits, ...found(column, logits) };
    });
  }
}

/** The vector of an unknown word, spelt with one unknown character and without context; returns [C]. */
function unknownWord({ inputSize, embedding, wordSize, speller }: Tagger): Float32Array {
  const out = new Float32Array(inputSize);
  out.set(embedded(embedding, wordSize, [UNKNOWN]));
  if (speller !== null) out.set(speller.spellIds([UNKNOWN]), wordSize);
  return out;
}

function readers({ columns, weight, bias, lstm }: Tagger): Reader[] {
  let from = 0;
  return columns.map(({ name, tags, temperature, chain }) => {
    const [first, F] = [from, lstm.outputSize];
    from += tags.length;
    const rows = weight.subarray(first * F, from * F);
    return linearReader(name, tags, rows, bias.subarray(first, from), chain === null ? temperature : null);
  });
}

export function tagger(head: BundleHead, weights: Weights): Model {
  const made = new Tagger(head, weights);
  const { tokenise } = tokeniser(head.tokeniser);
  return {
    ...common(head, made.lstm),
    ...{ kind: "tagger", unit: "word", tokenise },
    run: (words, edits) => made.run(words, edits),
    subject: (run) => {
      const around = { readers: readers(made), baseline: () => unknownWord(made), baselineName: "an unknown word" };
      return createSubject(run, made.lstm, run.tracks, around);
    },
    stream: () => {
      const reads = made.lstm.sizes.bidirectional ? "both ways" : "whole sentences";
      refuse(`a tagger, which reads ${reads}`, "a unidirectional model", "Type the whole sentence.");
    },
    parts: [
      { label: "word embedding", shape: [made.words.size, made.wordSize] },
      ...(made.speller?.parts() ?? []),
      ...layerParts(made.lstm.tracks, made.lstm.kind),
      { label: "tag scores", shape: [made.scores, made.lstm.outputSize] },
    ],
  };
}

/** A yes/no setting; taggers before format version 4 do not have it, and behave as if it were true. */
const setting = (config: any, name: string): boolean => config?.[name] === undefined || flag(config, name);

/** A tagger of format version 1 had one column and no temperatures. */
function upgraded({ config, vocabulary }: BundleHead): { config: any; vocabulary: any } {
  if (!Array.isArray(vocabulary?.tags)) return { config, vocabulary: vocabulary ?? {} };
  const column = config?.column ?? "upos";
  const added = { tags: { [column]: vocabulary.tags }, temperatures: { [column]: 1 } };
  return { config: { ...config, columns: [column] }, vocabulary: { ...vocabulary, ...added } };
}

const REMEMBERED = 4096; // number of words to cache, so that typing does not spell the whole sentence again

/** Spells words. */
class Speller {
  chars: Vocabulary;
  charSize: number;
  longest: number;
  embedding: Float32Array;
  lstm: Lstm;
  spelt: Map<string, Float32Array> = new Map();

  constructor(config: any, vocabulary: any, weights: Weights, letters: Letters) {
    const [charSize, hiddenSize] = [count(config, "char_size"), count(config, "char_hidden_size")];
    this.chars = new Vocabulary(vocabulary.chars, "characters");
    this.charSize = charSize;
    this.longest = count(config, "max_chars", 2);
    this.embedding = weights.take("char_embedding.weight", [this.chars.size, charSize]);
    const sizes = { inputSize: charSize, hiddenSize, numLayers: 1, bidirectional: true, bias: true, projSize: 0 };
    this.lstm = new Lstm(sizes, weights, "char_lstm.", configKind(config, letters));
  }

  parts() {
    const embedding = { label: "character embedding", shape: [this.chars.size, this.charSize] };
    return [embedding, ...layerParts(this.lstm.tracks, this.lstm.kind, "character ")];
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
