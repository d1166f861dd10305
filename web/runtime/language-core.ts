// A language model's parts: tokens, embeddings, the LSTM, and the output layer that predicts the next token.

import { damaged } from "studio/runtime/errors.js";
import { meanVector } from "studio/runtime/explain/subject.js";
import { type Letters, configKind } from "studio/runtime/kinds.js";
import { Lstm } from "studio/runtime/lstm.js";
import {
  type Output,
  adaptiveOutput,
  readClusters,
  plainOutput,
  dense,
  transposedProduct,
} from "studio/runtime/outputs.js";
import { embedded } from "studio/runtime/vocabulary.js";
import { type Weights, count, flag, strings } from "studio/runtime/weights.js";
import type { Readout } from "studio/types.js";

const UNKNOWN = "<unk>"; // id 0
export const LINE_ENDS = { char: "\n", word: "<eos>" };

/** A language model, without its dropout. */
export class LanguageCore {
  level: "char" | "word";
  backward: boolean;
  tokens: string[];
  counts: unknown;
  numbers: Map<string, number>;
  embedding: Float32Array | null;
  lstm: Lstm;
  projection: Float32Array | null;
  features: number;
  output: Output;
  embeddingShape: number[];

  constructor(config: any, vocabulary: any, weights: Weights, prefix: string, letters: Letters) {
    this.level = readLevel(config, vocabulary);
    this.backward = flag(config, "backward");
    this.tokens = strings(vocabulary.tokens, "tokens");
    if (this.tokens[0] !== UNKNOWN) throw damaged(`${JSON.stringify(this.tokens[0])} as the first token`, UNKNOWN);
    this.counts = vocabulary.counts;
    this.numbers = new Map(this.tokens.map((token, id) => [token, id]));
    const [V, E, H] = [this.tokens.length, count(config, "embedding_size"), count(config, "hidden_size")];
    const tied = flag(config, "tied");
    this.embedding = tied ? null : weights.take(`${prefix}embedding.weight`, [V, E]);
    const sizes = { inputSize: E, hiddenSize: H, numLayers: count(config, "num_layers") };
    const plain = { bidirectional: false, bias: true, projSize: 0 };
    this.lstm = new Lstm({ ...sizes, ...plain }, weights, `${prefix}lstm.`, configKind(config, letters));
    this.projection = tied && E !== H ? weights.take(`${prefix}project.weight`, [E, H]) : null;
    const clusters = readClusters(config, V);
    this.features = tied ? E : H;
    this.output =
      clusters.cutoffs.length > 0
        ? adaptiveOutput(this.features, V, clusters, weights, `${prefix}head.`)
        : plainOutput(this.features, V, weights, `${prefix}head.`);
    this.embeddingShape = [V, E];
  }

  /** @returns the id of the token read before any text */
  get start(): number {
    return this.id(LINE_ENDS[this.level]);
  }

  id(token: string): number {
    return this.numbers.get(token) ?? 0;
  }

  /** @returns [T, E] */
  embed(ids: readonly number[]): Float32Array {
    return this.embedding === null ? this.output.embed(ids) : embedded(this.embedding, this.embeddingShape[1], ids);
  }

  /** A token's readout weights, with the projection if there is one; null if it has none of its own. */
  logit(id: number): Readout | null {
    const row = this.output.row(id);
    if (row === null) return null;
    const { projection, lstm } = this;
    const vector = projection === null ? row.weight : transposedProduct(projection, row.weight, lstm.outputSize);
    return { vector: Float64Array.from(vector), bias: row.bias };
  }

  /** @returns [E] the mean over all tokens, weighted by their training counts */
  meanToken(): Float32Array {
    const { counts, tokens } = this;
    const fits = (count: unknown) => typeof count === "number" && count >= 0;
    if (!Array.isArray(counts) || counts.length !== tokens.length || !counts.every(fits) || !counts.some(Boolean)) {
      throw damaged("the model's vocabulary has no token counts", "one count for each token");
    }
    return meanVector(counts, (ids) => this.embed(ids));
  }

  /** `out`: [T, H]; returns [T, V] scores of the next token */
  scores(out: Float32Array, T: number): Float32Array {
    const { projection, features } = this;
    const projected = projection === null ? out : Float32Array.from(dense(out, T, projection, null, features));
    return this.output.scores(projected, T);
  }
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
