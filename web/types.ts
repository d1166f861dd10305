// Types shared by the studio's modules; contains no code.
//
// T time steps, H hidden units, C input features, L layers. Arrays are Float32Array in row-major order.

import type { BeginMessage, Edit, StepMessage, View, ViewMessage } from "studio/facts.js";
import type { CellKind } from "studio/runtime/kinds.js";

export type { BeginMessage, Edit, View };

/** A gate or a state, by its letter: i f g o c h. Their order and meanings come with each bundle, from Python. */
type Quantity = string;

/** One layer and direction: "l0", "l0r" (reverse). Steps are numbered as in the input in both. */
export interface TrackInfo {
  name: string;
  layer: number;
  reverse: boolean;
  inputSize: number; // C of this layer
  units: number; // H
  outputs: number; // P: units of the hidden state, H without a projection
}

/** The values of one layer and direction. The step read before step t is t-1, or t+1 in reverse. */
export interface Track {
  info: TrackInfo;
  values: Record<Quantity, Float32Array>; // each [T, H]; h [T, P]
  input: Float32Array | null; // [T, C] its input; null for a recorded trace
  initial: Record<Quantity, Float32Array>; // h [P], and c [H] of an LSTM: the state before the first step read
  /** [T, P] and [T, H] the states passed on, if a readout edit made outputs differ from them; see stateBefore */
  carried: Record<Quantity, Float32Array> | null;
}

export type Choice = { label: string; probability: number };

/** A distribution at each step, over the tags of a word (for one column) or a language model's next tokens. */
export interface Head {
  name: string; // "upos", "xpos", ... or "next"
  labels: string[]; // K of them
  probabilities: Float32Array; // [T, K]
  logits: Float32Array; // [T, K] before softmax (and without a chain or a temperature)
  chosen: Int32Array; // [T] the predicted label at each step
}

/** One run of a model over a sentence (or numbers). It is frozen; an edit creates a new run. */
export interface Run {
  tokens: string[]; // T of them: words, characters, or "0", "1", ... without a vocabulary
  known: boolean[]; // whether each token is in the vocabulary
  steps: number; // T
  tracks: Track[]; // of the LSTM shown (a tagger's: the one over words)
  heads: Head[]; // empty if the model predicts nothing
  surprise: Float32Array | null; // [T] of each token, in nats; language models only
  edits: readonly Edit[]; // that were applied
  series?: SeriesPart; // of a series model
}

/** One gate of one unit at one step, before its activation: input part plus `scale` times recurrent part. */
export interface DotProduct {
  gate: string;
  inputWeights: Float32Array; // [C]
  input: Float32Array; // [C]
  hiddenWeights: Float32Array; // [P]
  hidden: Float32Array; // [P] the hidden state before the step
  biasInput: number;
  biasHidden: number;
  scale: number; // the reset gate for the candidate of a GRU, else 1
  fromInput: number; // Σ input + biasInput
  fromHidden: number; // Σ hidden + biasHidden
  sum: number;
}

export interface TrackWeights {
  weight_ih: Float32Array; // [G*H, C], G gates stacked in the bundle's order
  weight_hh: Float32Array; // [G*H, P]
  bias_ih: Float32Array | null; // [G*H]
  bias_hh: Float32Array | null; // [G*H]
  weight_hr: Float32Array | null; // [P, H] only with a projection
  rounds?: boolean; // whether products are of integers: those of int8 weights with x and h, rounded
}

/** A model of any kind, in the browser. */
export interface Model {
  kind: "tagger" | "language-model" | "series-model" | "layer" | "trace";
  name: string;
  unit: string; // the kind of step: "word", "character", or "step"
  tracks: TrackInfo[];
  cell: CellKind;
  gates: readonly string[]; // in the order of the stacked weights
  quantities: readonly string[]; // gates and states
  meanings: Record<Quantity, string>;
  hasWeights: boolean; // false for a trace: no edits, no dot products
  /** the model's parts from input to output, each with the shape of its (first) weight */
  parts: { label: string; shape: number[] }[];
  /** into the argument of run, in reading order, so from the end of the text if it reads backward */
  tokenise: (text: string) => string[];
  run: (tokens: string[], edits?: readonly Edit[]) => Run; // throws ModelError for input that it can't read
  runNumbers: (rows: Float32Array[], edits?: readonly Edit[], names?: string[] | null) => Run; // kind "layer": T of C
  dotProduct: (run: Run, track: string, gate: string, unit: number, t: number) => DotProduct;
  weights: (track: string) => TrackWeights;
  stream: (edits?: readonly Edit[]) => Stream;
  subject: (run: Run) => Subject; // of a run without edits; throws ModelError if it can't be explained
  given: Run | null; // the run that came with it (a trace, or numbers given in Python)
  series?: Series; // of a series model
}

/** A column of a series; in the units of the data, a value is offset + factor times what the model reads or gives. */
export type SeriesColumn = { name: string; unit: string; offset: number; factor: number };

/** What a series model reads and forecasts, and the series that came with it. C features, K targets, A ahead. */
export interface Series {
  features: SeriesColumn[]; // C
  targets: SeriesColumn[]; // K
  ahead: number[]; // how many steps after the last one that was read each of the A forecasts is
  window: number | null; // the only number of steps that it reads
  steps: number; // T of the series that came with it; 0 without one
  tokens: string[]; // T dates
  values: Float64Array | null; // [T, C] in the units of the data
  truth: Float64Array | null; // [T, K]
  forecast: () => Float64Array | null; // [T, A*K] after each step, without edits; NaN where there is none
  runSpan: (from: number, to: number, edits?: readonly Edit[]) => Run; // of steps from .. to-1
}

/** What a run of series read and forecast. */
export interface SeriesPart {
  from: number | null; // the place of its first step in the series that came with the model; null for other rows
  x: Float32Array; // [T, C] scaled
  values: Float64Array; // [T, C] in the units of the data
  forecast: Float64Array; // [T, A*K] in the units of the data
}

/** Runs one step at a time and carries the state. A reverse direction can't stream. */
export interface Stream {
  step: (x: Float32Array, token?: string) => Float32Array; // returns the last layer's hidden state [P], a copy
  read: (token: string) => Float32Array; // like `step`, for a token of a language model
  /** to the start; or to step t, read next, with the states [L, P] and, of an LSTM, [L, H] to continue from */
  reset: (given?: { t: number; h: Float32Array; c?: Float32Array }) => void;
  run: () => Run; // everything read since the last reset (the last `keep` steps), which are joined again at each call
  keep: number; // can be set, also to 0; older steps are dropped
}

/** a number linear in a step's outputs [D*P]: Σ vector·out + bias */
export type Readout = { vector: Float64Array; bias: number };

/** Describes how the labels of a distribution are read from the outputs of a step. */
export interface Reader {
  name: string; // the name of the run's head
  labels: string[]; // K of them
  logit: (label: number) => Readout | null; // null if a label only has a probability
  /** of outputs [D*P], natural; null if probabilities depend on the whole sentence */
  logProbability: ((out: Float32Array, label: number) => number) | null;
}

/** One layer and direction, which computes steps of R rows from their input parts xg [R, G*H] and the states before. */
export interface Cell {
  info: TrackInfo;
  weights: TrackWeights;
  kind: CellKind;
  multiplied: (x: Float32Array, R: number) => Float32Array | Float64Array;
  stepRows: (xg: Float64Array, before: Record<Quantity, Float32Array>, R: number) => Record<Quantity, Float32Array>;
}

/** An LSTM, its input, and the readers of its outputs, to be explained; like hiddenstate.explain.Subject. */
export interface Subject {
  cell: CellKind;
  cells: Cell[]; // of each track; empty without weights
  tracks: Track[]; // the run itself, without edits
  steps: number; // T
  lead: number; // how many of the steps come before the run's first: 1 in a language model, which reads a newline
  tokens: string[]; // T of them
  initial: Record<Quantity, Float32Array>[]; // the initial state of each track
  readers: Reader[];
  baseline: () => Float32Array; // [C] the input of an uninformative step
  baselineName: string; // its name: "an unknown word"
  /** of a series: what its model reads [T, C], that of an uninformative step [C], and what the LSTM then reads */
  source?: { x: Float32Array; base: Float32Array; read: (x: Float32Array, T: number) => Float32Array };
}

/**
 * The head of a bundle: a model's folder, or an LSTM or a trace, as hiddenstate.studio.bundles writes it.
 *
 * Its tensors: a model's weights under the names of its folder; an LSTM's under those of its state_dict
 * ("weight_ih_l0"). Data given with a series model, as it reads and gives them: "given.input" [T, C], and perhaps
 * "given.truth" [T, K] and "given.forecast" [T, A*K]. Data given with an LSTM: "given.input" [T, C]; "given.h0" [L*D, P] and, of an LSTM, "given.c0"
 * [L*D, H], zeros if absent; and for a trace "given.l0.f" [T, H] for each recorded place, and "given.carried.l0" [T, H]
 * if recorded.
 */
export interface BundleHead {
  format: "hiddenstate-studio";
  version: number;
  kind: "tagger" | "language-model" | "series-model" | "layer" | "trace";
  name: string;
  cell: string; // the kind of cell shown: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"
  cells: Record<string, { gates: string[]; states: string[] }>; // the letters of every kind, in order
  meanings: Record<string, string>; // of the letters of the kind shown
  /**
   * the "config" in the model's config.json, or for an LSTM or a trace {input_size, hidden_size, num_layers,
   * bidirectional, bias, proj_size} (a trace's input_size is 0 if unknown)
   */
  config: any;
  vocabulary: any; // of the model's folder; null for an LSTM or a trace
  tokeniser: any; // the content of hiddenstate/text/tokenise.json (hiddenstate.text.tokenise.PATTERN)
  /** the data given with the weights: a trace, or numbers to read; or null */
  given: { tokens: string[] | null; steps: number } | null;
}

export interface Boot {
  host: "server" | "file" | "notebook";
  models: { id: string; name: string }[];
  view: Partial<View>; // the initial view
  live: "" | "view" | "stream"; // whether Python shares the view, and whether the first model is a stream there
  index: { name: string; model: string; steps: number } | null; // behind the pages Units and Search
}

type EndMessage = { type: "end" };

/** A message from Python while the page is open; see host.watch. */
export type LiveMessage = BeginMessage | StepMessage | ViewMessage | EndMessage;
