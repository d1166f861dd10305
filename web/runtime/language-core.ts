// A language model's parts: tokens, embeddings, the LSTM, and the output layer that predicts the next token.

import { damaged } from "studio/runtime/errors.js";
import { meanVector } from "studio/runtime/explain/subject.js";
import { type Letters, configKind } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import { Lstm } from "studio/runtime/lstm.js";
import { adaptiveOutput, readClusters, plainOutput, transposedProduct } from "studio/runtime/outputs.js";
import { embedded } from "studio/runtime/vocabulary.js";
import { type Weights, count, flag, strings } from "studio/runtime/weights.js";
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
