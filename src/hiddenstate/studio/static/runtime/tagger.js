// The tagger: reads words and their spelling with a bidirectional LSTM, and predicts tags.

import { tagColumns, found } from "studio/runtime/columns.js";
import { common, layerParts, refuse } from "studio/runtime/common.js";
import { Context } from "studio/runtime/context.js";
import { linearReader, subjectOf } from "studio/runtime/explain/subject.js";
import { affine } from "studio/runtime/linear.js";
import { kindOf } from "studio/runtime/kinds.js";
import { Lstm } from "studio/runtime/lstm.js";
import { Speller } from "studio/runtime/speller.js";
import { tokeniser } from "studio/runtime/tokenise.js";
import { embedded, UNKNOWN, Vocabulary } from "studio/runtime/vocabulary.js";
import { count, flag } from "studio/runtime/weights.js";

/** @typedef {import("studio/types.js").BundleHead} BundleHead */
/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Head} Head */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Reader} Reader */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Subject} Subject */
/** @typedef {import("studio/runtime/kinds.js").Letters} Letters */
/** @typedef {import("studio/runtime/weights.js").Weights} Weights */

/** A tagger's parts, and how they work together. */
class Tagger {
  /**
   * @param {BundleHead} head
   * @param {Weights} weights
   */
  constructor(head, weights) {
    const { config, vocabulary } = upgraded(head);
    const letters = head.cells;
    this.words = new Vocabulary(vocabulary.words, "words");
    this.wordSize = count(config, "word_size");
    this.embedding = weights.take("word_embedding.weight", [this.words.size, this.wordSize]);
    this.lowerCase = setting(config, "lower_case");
    this.speller = spellerOf(config, vocabulary, weights, letters);
    this.context = vocabulary.context ? new Context(vocabulary.context, weights, letters) : null;
    this.inputSize = this.wordSize + (this.speller?.lstm.outputSize ?? 0) + (this.context?.size ?? 0);
    const [hiddenSize, numLayers] = [count(config, "hidden_size"), count(config, "num_layers")];
    const bidirectional = setting(config, "bidirectional");
    const sizes = { inputSize: this.inputSize, hiddenSize, numLayers, bidirectional, bias: true, projSize: 0 };
    this.lstm = new Lstm(sizes, weights, "lstm.", kindOf(config, letters));
    this.columns = tagColumns(config, vocabulary, weights);
    this.scores = this.columns.reduce((sum, { tags }) => sum + tags.length, 0);
    this.weight = weights.take("head.weight", [this.scores, this.lstm.outputSize]);
    this.bias = weights.take("head.bias", [this.scores]);
  }

  /**
   * @param {string} word
   * @returns {string} in the form used for vocabulary look-up
   */
  lookedUp(word) {
    return this.lowerCase ? word.toLowerCase() : word;
  }

  /**
   * @param {readonly string[]} words
   * @returns {Float32Array} [T, C]
   */
  embed(words) {
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

  /**
   * @param {string[]} words
   * @param {readonly Edit[]} edits
   * @returns {Run}
   */
  run(words, edits = []) {
    if (words.length === 0) refuse("no word", "at least one", "Type a sentence.");
    if (words.includes("")) refuse("a word without characters", "at least one in each", "Take it out.");
    const T = words.length;
    const bound = this.lstm.bind(edits, T);
    const { tracks, out } = this.lstm.run(this.embed(words), T, bound);
    const known = words.map((word) => this.words.has(this.lookedUp(word)));
    return Object.freeze({ tokens: words, known, steps: T, tracks, heads: this.heads(out, T), surprise: null, edits });
  }

  /**
   * @param {Float32Array} out [T, 2H]
   * @param {number} T
   * @returns {Head[]}
   */
  heads(out, T) {
    const scores = new Float64Array(T * this.scores);
    affine(out, T, this.weight, this.bias, scores);
    let from = 0;
    return this.columns.map((column) => {
      const K = column.tags.length;
      const logits = part(scores, T, this.scores, from, K);
      from += K;
      return { name: column.name, labels: column.tags, logits, ...found(column, logits) };
    });
  }
}

/**
 * @param {Tagger} tagger
 * @param {Run} run
 * @returns {Subject}
 */
function explained(tagger, run) {
  const baseline = () => unknownWord(tagger);
  const around = { readers: readers(tagger), baseline, baselineName: "an unknown word" };
  return subjectOf(run, tagger.lstm, run.tracks, around);
}

/**
 * The vector of an unknown word, spelt with one unknown character and without context.
 * @param {Tagger} tagger
 * @returns {Float32Array} [C]
 */
function unknownWord({ inputSize, embedding, wordSize, speller }) {
  const out = new Float32Array(inputSize);
  out.set(embedded(embedding, wordSize, [UNKNOWN]));
  if (speller !== null) out.set(speller.spellIds([UNKNOWN]), wordSize);
  return out;
}

/**
 * @param {Tagger} tagger
 * @returns {Reader[]}
 */
function readers({ columns, weight, bias, lstm }) {
  let from = 0;
  return columns.map(({ name, tags, temperature, chain }) => {
    const [first, F] = [from, lstm.outputSize];
    from += tags.length;
    const rows = weight.subarray(first * F, from * F);
    return linearReader(name, tags, rows, bias.subarray(first, from), chain === null ? temperature : null);
  });
}

/**
 * @param {BundleHead} head
 * @param {Weights} weights
 * @returns {Model}
 */
export function tagger(head, weights) {
  const made = new Tagger(head, weights);
  const { tokenise } = tokeniser(head.tokeniser);
  return {
    ...common(head, made.lstm),
    ...{ kind: "tagger", unit: "word", tokenise },
    run: (words, edits) => made.run(words, edits),
    subject: (run) => explained(made, run),
    stream: () => {
      const reads = made.lstm.sizes.bidirectional ? "both ways" : "whole sentences";
      refuse(`a tagger, which reads ${reads}`, "a unidirectional model", "Type the whole sentence.");
    },
    parts: [
      { label: "word embedding", shape: [made.words.size, made.wordSize] },
      ...spellerParts(made.speller),
      ...layerParts(made.lstm.tracks, made.lstm.kind),
      { label: "tag scores", shape: [made.scores, made.lstm.outputSize] },
    ],
  };
}

/**
 * A yes/no setting; taggers before format version 4 do not have it, and behave as if it were true.
 * @param {any} config
 * @param {string} name
 * @returns {boolean}
 */
const setting = (config, name) => config?.[name] === undefined || flag(config, name);

/**
 * @param {any} config
 * @param {any} vocabulary
 * @param {Weights} weights
 * @param {Letters} letters
 * @returns {Speller | null} null for a tagger without spelling
 */
function spellerOf(config, vocabulary, weights, letters) {
  if (config?.char_hidden_size === 0) return null;
  return new Speller(config, new Vocabulary(vocabulary.chars, "characters"), weights, letters);
}

/** @param {Speller | null} speller */
function spellerParts(speller) {
  if (speller === null) return [];
  const embedding = { label: "character embedding", shape: [speller.chars.size, speller.charSize] };
  return [embedding, ...layerParts(speller.lstm.tracks, speller.lstm.kind, "character ")];
}

/**
 * A tagger of format version 1 had one column and no temperatures.
 * @param {BundleHead} head
 * @returns {{config: any, vocabulary: any}}
 */
function upgraded({ config, vocabulary }) {
  if (!Array.isArray(vocabulary?.tags)) return { config, vocabulary: vocabulary ?? {} };
  const column = config?.column ?? "upos";
  const added = { tags: { [column]: vocabulary.tags }, temperatures: { [column]: 1 } };
  return { config: { ...config, columns: [column] }, vocabulary: { ...vocabulary, ...added } };
}

/**
 * @param {Float64Array} scores [T, K of all columns]
 * @param {number} T
 * @param {number} all
 * @param {number} from
 * @param {number} K
 * @returns {Float32Array} [T, K] of one column
 */
function part(scores, T, all, from, K) {
  const out = new Float32Array(T * K);
  for (let t = 0; t < T; t++) out.set(scores.subarray(t * all + from, t * all + from + K), t * K);
  return out;
}
