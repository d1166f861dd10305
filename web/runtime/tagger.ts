// The tagger: reads words, their spelling and their context with a bidirectional LSTM, and predicts tags.

import { found, tagColumns } from "studio/runtime/columns.js";
import { common, layerParts } from "studio/runtime/common.js";
import { damaged, refuse } from "studio/runtime/errors.js";
import { createSubject, linearReader } from "studio/runtime/explain/subject.js";
import { roundToHalf } from "studio/runtime/half.js";
import { configKind, type Letters } from "studio/runtime/kinds.js";
import { type LanguageCore, languageCore } from "studio/runtime/language-core.js";
import { affine } from "studio/runtime/linear.js";
import { Lstm } from "studio/runtime/lstm.js";
import { tokeniser } from "studio/runtime/tokenise.js";
import { codePoints, count, embedded, flag, readVocabulary, UNKNOWN, type Weights } from "studio/runtime/weights.js";
import type { BundleHead, Model } from "studio/types.js";

export function tagger(head: BundleHead, weights: Weights): Model {
  const { config, vocabulary } = upgraded(head);
  const words = readVocabulary(vocabulary.words, "words");
  const wordSize = count(config, "word_size");
  const embedding = weights.take("word_embedding.weight", [words.size, wordSize]);
  const lowerCase = setting(config, "lower_case");
  const speller = config?.char_hidden_size === 0 ? null : createSpeller(config, vocabulary, weights, head.cells);
  const context = vocabulary.context ? createContext(vocabulary.context, weights, head.cells) : null;
  const inputSize = wordSize + (speller?.lstm.outputSize ?? 0) + (context?.size ?? 0);
  const [hiddenSize, numLayers] = [count(config, "hidden_size"), count(config, "num_layers")];
  const sizes = { inputSize, hiddenSize, numLayers, bidirectional: setting(config, "bidirectional") };
  const kind = configKind(config, head.cells);
  const lstm = new Lstm({ ...sizes, bias: true, projSize: 0 }, weights, "lstm.", kind);
  const F = lstm.outputSize;
  const columns = tagColumns(config, vocabulary, weights);
  let rows = 0; // of all tags
  const firsts = columns.map(({ tags }) => (rows += tags.length) - tags.length);
  const [weight, bias] = [weights.take("head.weight", [rows, F]), weights.take("head.bias", [rows])];

  /** The form used for vocabulary look-up. */
  const lookedUp = (word: string) => (lowerCase ? word.toLowerCase() : word);

  /** Returns [T, C]. */
  const embed = (sentence: readonly string[]): Float32Array => {
    const ids = sentence.map((word) => words.id(lookedUp(word)));
    const vectors = embedded(embedding, wordSize, ids);
    const around = context?.vectors(sentence) ?? new Float32Array();
    const size = context?.size ?? 0;
    const out = new Float32Array(sentence.length * inputSize);
    sentence.forEach((word, t) => {
      const at = t * inputSize;
      out.set(vectors.subarray(t * wordSize, (t + 1) * wordSize), at);
      if (speller !== null) out.set(speller.spell(word), at + wordSize);
      out.set(around.subarray(t * size, (t + 1) * size), at + inputSize - size);
    });
    return out;
  };

  /** The vector of an unknown word, spelt with one unknown character and without context; returns [C]. */
  const unknownWord = () => {
    const out = new Float32Array(inputSize);
    out.set(embedded(embedding, wordSize, [UNKNOWN]));
    if (speller !== null) out.set(speller.spellIds([UNKNOWN]), wordSize);
    return out;
  };

  const run: Model["run"] = (tokens, edits = []) => {
    if (tokens.length === 0) refuse("no word", "at least one", "Type a sentence.");
    if (tokens.includes("")) refuse("a word without characters", "at least one in each", "Take it out.");
    const T = tokens.length;
    const bound = lstm.bind(edits, T); // before the words are spelt
    const { tracks, out } = lstm.run(embed(tokens), T, bound);
    const scores = affine(out, T, weight, bias);
    const heads = columns.map((column, k) => {
      const K = column.tags.length;
      const logits = new Float32Array(T * K);
      for (let at = firsts[k], t = 0; t < T; t++, at += rows) logits.set(scores.subarray(at, at + K), t * K);
      return { name: column.name, labels: column.tags, logits, ...found(column, logits) };
    });
    const known = tokens.map((word) => words.has(lookedUp(word)));
    return Object.freeze({ tokens, known, steps: T, tracks, heads, surprise: null, edits });
  };

  const readers = () =>
    columns.map(({ name, tags, temperature, chain }, k) => {
      const [from, to] = [firsts[k], firsts[k] + tags.length];
      const [own, offsets] = [weight.subarray(from * F, to * F), bias.subarray(from, to)];
      return linearReader(name, tags, own, offsets, chain === null ? temperature : null);
    });

  return {
    ...common(head, lstm),
    ...{ kind: "tagger", unit: "word", tokenise: tokeniser(head.tokeniser).tokenise, run },
    subject: (given) => {
      const around = { readers: readers(), baseline: unknownWord, baselineName: "an unknown word" };
      return createSubject(given, lstm, given.tracks, around);
    },
    stream: () => {
      const reads = sizes.bidirectional ? "both ways" : "whole sentences";
      refuse(`a tagger, which reads ${reads}`, "a unidirectional model", "Type the whole sentence.");
    },
    parts: [
      { label: "word embedding", shape: [words.size, wordSize] },
      ...(speller?.parts ?? []),
      ...layerParts(lstm.tracks, lstm.kind),
      { label: "tag scores", shape: [rows, F] },
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

function createSpeller(config: any, vocabulary: any, weights: Weights, letters: Letters) {
  const [charSize, hiddenSize] = [count(config, "char_size"), count(config, "char_hidden_size")];
  const chars = readVocabulary(vocabulary.chars, "characters");
  const longest = count(config, "max_chars", 2);
  const embedding = weights.take("char_embedding.weight", [chars.size, charSize]);
  const sizes = { inputSize: charSize, hiddenSize, numLayers: 1, bidirectional: true, bias: true, projSize: 0 };
  const lstm = new Lstm(sizes, weights, "char_lstm.", configKind(config, letters));
  const spelt: Map<string, Float32Array> = new Map();

  /** `ids`: of characters; returns [2H] */
  const spellIds = (ids: number[]): Float32Array => {
    const { state } = lstm.run(embedded(embedding, charSize, ids), ids.length);
    return Float32Array.from(state.flatMap(({ h }) => Array.from(h)));
  };

  /** The states after a word, of which a long one has only its first and last characters; returns [2H]. */
  const spell = (word: string): Float32Array => {
    const known = spelt.get(word);
    if (known !== undefined) return known;
    const [all, half] = [codePoints(word), Math.floor(longest / 2)];
    const shown = all.length <= longest ? all : [...all.slice(0, half), ...all.slice(-half)];
    const states = spellIds(shown.map(chars.id));
    if (spelt.size >= REMEMBERED) spelt.clear();
    spelt.set(word, states);
    return states;
  };
  const parts = layerParts(lstm.tracks, lstm.kind, "character ");
  return { lstm, spell, spellIds, parts: [{ label: "character embedding", shape: [chars.size, charSize] }, ...parts] };
}

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
