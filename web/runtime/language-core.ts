// A language model's parts: tokens, embeddings, the LSTM, and the output layer that predicts the next token.

import { damaged } from "studio/runtime/errors.js";
import { meanVector } from "studio/runtime/explain/subject.js";
import { configKind, type Letters } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import { Lstm } from "studio/runtime/lstm.js";
import { logSumExp } from "studio/runtime/softmax.js";
import { count, embedded, flag, strings, type Weights } from "studio/runtime/weights.js";
import type { Readout } from "studio/types.js";

const UNKNOWN = "<unk>"; // id 0
export const LINE_ENDS = { char: "\n", word: "<eos>" };

export type LanguageCore = ReturnType<typeof languageCore>;

/** A language model, without its dropout. */
export function languageCore(config: any, vocabulary: any, weights: Weights, prefix: string, letters: Letters) {
  const level = readLevel(config, vocabulary);
  const backward = flag(config, "backward");
  const tokens = strings(vocabulary.tokens, "tokens");
  if (tokens[0] !== UNKNOWN) throw damaged(`${JSON.stringify(tokens[0])} as the first token`, UNKNOWN);
  const numbers = new Map(tokens.map((token, id) => [token, id]));
  const [V, E, H] = [tokens.length, count(config, "embedding_size"), count(config, "hidden_size")];
  const tied = flag(config, "tied");
  const embedding = tied ? null : weights.take(`${prefix}embedding.weight`, [V, E]);
  const sizes = { inputSize: E, hiddenSize: H, numLayers: count(config, "num_layers"), bidirectional: false };
  const kind = configKind(config, letters);
  const lstm = new Lstm({ ...sizes, bias: true, projSize: 0 }, weights, `${prefix}lstm.`, kind);
  const projection = tied && E !== H ? weights.take(`${prefix}project.weight`, [E, H]) : null;
  const clusters = readClusters(config, V);
  const made = clusters.cutoffs.length > 0 ? adaptiveOutput : plainOutput;
  const output = made(tied ? E : H, V, weights, `${prefix}head.`, clusters);
  const id = (token: string) => numbers.get(token) ?? 0;
  /** Returns [T, E]. */
  const embed = (ids: readonly number[]) => (embedding === null ? output.embed(ids) : embedded(embedding, E, ids));

  /** A token's readout weights, with the projection if there is one; null if it has none of its own. */
  const logit = (token: number): Readout | null => {
    const row = output.row(token);
    if (row === null) return null;
    const vector = projection === null ? row.weight : transposedProduct(projection, row.weight, H);
    return { vector: Float64Array.from(vector), bias: row.bias };
  };

  /** Returns [E], the mean over all tokens, weighted by their training counts. */
  const meanToken = () => {
    const { counts } = vocabulary;
    const fits = (count: unknown) => typeof count === "number" && count >= 0;
    if (!Array.isArray(counts) || counts.length !== V || !counts.every(fits) || !counts.some(Boolean)) {
      throw damaged("the model's vocabulary has no token counts", "one count for each token");
    }
    return meanVector(counts, embed);
  };

  /** `out`: [T, H]; returns [T, V] scores of the next token */
  const scores = (out: Float32Array, T: number) =>
    output.scores(projection ? Float32Array.from(affine(out, T, projection, null)) : out, T);
  const start = id(LINE_ENDS[level]); // the token that is read before any text
  return { level, backward, tokens, lstm, output, embeddingShape: [V, E], start, id, embed, logit, meanToken, scores };
}

function readLevel(config: any, vocabulary: any): "char" | "word" {
  const level = config?.level;
  if (level !== "char" && level !== "word") {
    throw damaged(`the model's config has level = ${JSON.stringify(level)}`, "char or word");
  }
  if (vocabulary?.level !== level) {
    throw damaged(`tokens of level ${JSON.stringify(vocabulary?.level)}`, `${level}, as the config says`);
  }
  return level;
}

export interface Output {
  scores: (features: Float32Array, T: number) => Float32Array; // from [T, F] to [T, V], before softmax
  /** a token's readout: weights [F] and bias; null if it is in a cluster of rare tokens, with only a probability */
  row: (id: number) => { weight: Float32Array; bias: number } | null;
  embed: (ids: readonly number[]) => Float32Array; // [T, F] if weights are tied
  shape: number[]; // of its weight, or of the head of an adaptive softmax
}

export function plainOutput(F: number, V: number, weights: Weights, prefix: string): Output {
  const weight = weights.take(`${prefix}weight`, [V, F]);
  const bias = weights.take(`${prefix}bias`, [V]);
  return {
    scores: (features, T) => Float32Array.from(affine(features, T, weight, bias)),
    row: (id) => ({ weight: weight.subarray(id * F, (id + 1) * F), bias: bias[id] }),
    embed: (ids) => embedded(weight, F, ids),
    shape: [V, F],
  };
}

/** An adaptive softmax, with smaller clusters of rarer tokens. Its scores are log-probabilities. */
export function adaptiveOutput(F: number, V: number, weights: Weights, prefix: string, clusters: Clusters): Output {
  const { cutoffs, factor } = clusters;
  const [first, ends] = [cutoffs[0], [...cutoffs.slice(1), V]];
  const headRows = first + cutoffs.length;
  const headWeight = weights.take(`${prefix}head.weight`, [headRows, F]);
  const headBias = weights.take(`${prefix}head.bias`, [headRows]);
  const tails = cutoffs.map((start, k) => {
    const narrower = factor ** (k + 1);
    const width = Math.round((F - (F % narrower)) / narrower); // Python's F // narrower, without the rounding of F / narrower
    const narrow = weights.take(`${prefix}tail.${k}.0.weight`, [width, F]);
    const rows = weights.take(`${prefix}tail.${k}.1.weight`, [ends[k] - start, width]);
    return { start, count: ends[k] - start, width, narrow, rows };
  });

  const scores: Output["scores"] = (features, T) => {
    const out = new Float32Array(T * V);
    const heads = logSoftmax(affine(features, T, headWeight, headBias), headRows);
    for (let t = 0; t < T; t++) out.set(heads.subarray(t * headRows, t * headRows + first), t * V);
    tails.forEach(({ start, count, narrow, rows }, k) => {
      const inside = logSoftmax(affine(Float32Array.from(affine(features, T, narrow, null)), T, rows, null), count);
      for (let t = 0; t < T; t++) {
        const more = heads[t * headRows + first + k];
        for (let n = 0; n < count; n++) out[t * V + start + n] = inside[t * count + n] + more;
      }
    });
    return out;
  };

  const own = (id: number) => headWeight.subarray(id * F, (id + 1) * F);
  const vector = (id: number) => {
    if (id < first) return own(id);
    const tail = tails[tails.findLastIndex(({ start }) => id >= start)];
    const row = tail.rows.subarray((id - tail.start) * tail.width, (id - tail.start + 1) * tail.width);
    return transposedProduct(tail.narrow, row, F);
  };

  return {
    scores,
    row: (id) => (id < first ? { weight: own(id), bias: headBias[id] } : null),
    embed: (ids) => {
      const out = new Float32Array(ids.length * F);
      ids.forEach((id, t) => out.set(vector(id), t * F));
      return out;
    },
    shape: [headRows, F],
  };
}

type Clusters = { cutoffs: number[]; factor: number };

export function readClusters(config: any, V: number): Clusters {
  const { cutoffs = [], cutoff_factor: factor } = config ?? {};
  const fits = (each: any, k: number) => Number.isInteger(each) && each > (cutoffs[k - 1] ?? 0) && each < V;
  if (!Array.isArray(cutoffs) || !cutoffs.every(fits)) {
    throw damaged(`the model's config has cutoffs = ${JSON.stringify(cutoffs)}`, `rising numbers below ${V}`);
  }
  if (cutoffs.length > 0 && !(factor >= 1)) {
    throw damaged(`the model's config has cutoff_factor = ${JSON.stringify(factor)}`, "a number of at least 1");
  }
  return { cutoffs, factor };
}

/** `scores`: [T, K], changed; returns logarithms of probabilities */
function logSoftmax(scores: Float64Array, K: number): Float64Array {
  for (let at = 0; at < scores.length; at += K) {
    const total = logSumExp(scores, at, K);
    for (let k = at; k < at + K; k++) scores[k] -= total;
  }
  return scores;
}

/** `weight`: [R, F]; `row`: [R]; returns [F] */
export function transposedProduct(weight: Float32Array, row: Float32Array, F: number): Float32Array {
  const sums = new Float64Array(F);
  row.forEach((value, r) => {
    for (let k = 0; k < F; k++) sums[k] += value * weight[r * F + k];
  });
  return Float32Array.from(sums);
}
