// The language model: predicts the next token from all tokens before it, and measures the surprise.

import { common, layerParts } from "studio/runtime/common.js";
import { refuse } from "studio/runtime/errors.js";
import { type LanguageCore, languageCore, LINE_ENDS } from "studio/runtime/language-core.js";
import { createSubject } from "studio/runtime/explain/subject.js";
import { highestScores, logSumExp, softmax } from "studio/runtime/softmax.js";
import { createStream } from "studio/runtime/stream.js";
import { tokeniser } from "studio/runtime/tokenise.js";
import { codePoints, type Weights } from "studio/runtime/weights.js";
import type { BundleHead, Model, Run, Subject, Track } from "studio/types.js";

const MOST = 2 ** 25; // maximum number of values that one run may predict

/** The newline read before the text is a step of the explained run, as in Python. */
function explained(core: LanguageCore, run: Run): Subject {
  if (core.backward) {
    refuse("a model that reads from the end of a text", "one that reads forward", "Open another model.");
  }
  const ids = [core.start, ...run.tokens.map(core.id)];
  const { tracks } = core.lstm.run(core.embed(ids), ids.length, core.lstm.bind([], ids.length));
  const logProbability: Subject["readers"][number]["logProbability"] = (out, label) => {
    const scores = core.scores(out, 1);
    return scores[label] - logSumExp(scores, 0, scores.length);
  };
  const reader = { name: "next", labels: core.tokens, logit: core.logit, logProbability };
  return createSubject(run, core.lstm, tracks, {
    ...{ before: [LINE_ENDS[core.level]], readers: [reader] },
    ...{ baseline: core.meanToken, baselineName: "the mean training input" },
  });
}

export function language(head: BundleHead, weights: Weights): Model {
  const core = languageCore(head.config, head.vocabulary, weights, "", head.cells);
  const { lstm, level, tokens: labels } = core;
  const V = labels.length;
  const { state } = lstm.run(core.embed([core.start]), 1); // each text is read after a newline

  /** @param before the output from which the first token was predicted */
  const finish = (tokens: string[], tracks: Track[], out: Float32Array, before: Float32Array): Omit<Run, "edits"> => {
    const T = tokens.length;
    const logits = core.scores(out, T);
    const ids = tokens.map(core.id);
    const surprise = Float32Array.from(ids, (id, t) =>
      t === 0 ? nats(core.scores(before, 1), 0, V, id) : nats(logits, (t - 1) * V, V, id),
    );
    const head = { name: "next", labels, logits, chosen: highestScores(logits, V), probabilities: softmax(logits, V) };
    return { tokens, known: ids.map((id) => id > 0), steps: T, tracks, heads: [head], surprise };
  };

  /** @param tokens in reading order */
  const run: Model["run"] = (tokens, edits = []) => {
    const T = tokens.length;
    if (T === 0) refuse("no text", `at least one ${level === "char" ? "character" : "word"}`, "Type some.");
    if (T * V > MOST) refuse(`a text of ${T} steps`, `at most ${Math.floor(MOST / V)}`, "Shorten it.");
    const { tracks, out } = lstm.run(core.embed(tokens.map(core.id)), T, lstm.bind(edits, T), state);
    return Object.freeze({ ...finish(tokens, tracks, out, state[state.length - 1].h), edits });
  };
  const embed = (token: string) => core.embed([core.id(token)]);
  const source = { lstm, begin: () => state, embed, check: () => {}, finish };
  return {
    ...common(head, lstm),
    ...{ kind: "language-model", unit: level === "char" ? "character" : "word", tokenise: tokensOf(core, head), run },
    subject: (given) => explained(core, given),
    stream: (edits) => createStream(source, edits),
    parts: [
      { label: "embedding", shape: core.embeddingShape },
      ...layerParts(lstm.tracks, lstm.kind),
      { label: "next scores", shape: core.output.shape },
    ],
  };
}

/** The tokens in reading order: a backward model starts at the end of the text. */
function tokensOf(core: LanguageCore, head: BundleHead): (text: string) => string[] {
  const { split } = tokeniser(head.tokeniser);
  const words = (text: string) => split(text.replaceAll("\n", ` ${LINE_ENDS.word} `));
  const pieces = core.level === "char" ? codePoints : words;
  return core.backward ? (text) => pieces(text).reverse() : pieces;
}

/** A token's surprise, in nats; `at`: where the V scores begin. */
const nats = (scores: Float32Array, at: number, V: number, id: number): number =>
  logSumExp(scores, at, V) - scores[at + id];
