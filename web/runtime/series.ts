// A model of series: linear layers and activations before and after one recurrent stack, with the names, units and
// scales of its columns. Runs are parts of the series that came with it, or rows of numbers.

import { common, layerParts, refuse } from "studio/runtime/common.js";
import { damaged } from "studio/runtime/errors.js";
import { createSubject } from "studio/runtime/explain/subject.js";
import { kindNamed } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import { type State, Lstm } from "studio/runtime/lstm.js";
import { configSizes, tokensOf } from "studio/runtime/plain.js";
import { stateBefore } from "studio/runtime/states.js";
import { allFinite, type Weights, count, flag, strings } from "studio/runtime/weights.js";
import type {
  BundleHead,
  Edit,
  Model,
  Reader,
  Run,
  Series,
  SeriesColumn,
  SeriesPart,
  Subject,
  Track,
} from "studio/types.js";

/** @returns the error function, to 1e-9 */
function erf(x: number): number {
  if (Math.abs(x) > 4) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; n < 64; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const ACTIVATIONS: Record<string, (x: number) => number> = {
  "": (x) => x,
  relu: (x) => Math.max(0, x),
  tanh: Math.tanh,
  sigmoid,
  leaky_relu: (x) => (x < 0 ? 0.01 * x : x),
  elu: (x) => (x < 0 ? Math.expm1(x) : x),
  silu: (x) => x * sigmoid(x),
  gelu: (x) => (x * (1 + erf(x / Math.SQRT2))) / 2,
  softplus: (x) => (x > 20 ? x : Math.log1p(Math.exp(x))),
};

const ROUNDING = 1e-7; // of float32

/** A linear layer, [rows, C], and the activation after it. */
type Dense = { C: number; rows: number; weight: Float32Array; bias: Float32Array | null; then: string };

class Network {
  columns: { features: SeriesColumn[]; targets: SeriesColumn[] };
  before: Dense[];
  lstm: Lstm;
  then: string;
  last: boolean; // whether only the last step of a run gives a forecast
  after: Dense[];
  ahead: number[]; // how many steps after the last one that was read each forecast is
  window: number | null;
  F: number; // forecasts after a step: those of all targets, for each step ahead

  constructor({ config, vocabulary, cell, cells }: BundleHead, weights: Weights) {
    const { units } = vocabulary ?? {};
    const named = (names: string, scale: string) =>
      strings(vocabulary?.[names], names).map((name, k) => column(name, units?.[name], config?.[scale]?.[k]));
    this.columns = { features: named("features", "scale"), targets: named("targets", "target_scale") };
    this.before = dense(config, "before", weights);
    this.lstm = new Lstm(configSizes(config?.rnn), weights, "rnn.", kindNamed(cell, cells));
    this.then = activation(config.then);
    this.last = flag(config, "last");
    this.after = dense(config, "after", weights);
    this.window = config.window === null ? null : count(config, "window");
    const [steps, horizon] = [count(config, "steps", 0), count(config, "horizon", 0)];
    this.ahead = steps ? Array.from({ length: steps }, (_, k) => k + 1) : [horizon];
    this.F = this.ahead.length * this.columns.targets.length;
    const { sizes, outputSize } = this.lstm;
    const reads = [...this.before.map(({ C }) => C), sizes.inputSize, ...this.after.map(({ C }) => C)];
    const gives = [...this.before.map(({ rows }) => rows), outputSize, ...this.after.map(({ rows }) => rows)];
    if ([this.columns.features.length, ...gives].join() !== [...reads, this.F].join()) {
      throw damaged("layers whose sizes do not fit each other, or the columns", "those of the model");
    }
  }

  /** `x`: [T, C] scaled; returns what the recurrent stack reads */
  input(x: Float32Array, T: number): Float32Array {
    return through(this.before, x, T);
  }

  /** `out`: [T, D*P] of the recurrent stack; returns [T, F], scaled */
  output(out: Float32Array, T: number): Float32Array {
    return through(this.after, mapped(out, this.then), T);
  }

  /** @returns [T, F] in the units of the data */
  inUnits(scaled: Float32Array): Float64Array {
    const { targets } = this.columns;
    return Float64Array.from(scaled, (value, k) => inUnits(value, targets[k % targets.length]));
  }
}

function column(name: string, unit: unknown, pair: unknown): SeriesColumn {
  if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(Number.isFinite) || pair[1] === 0) {
    throw damaged(`a scale ${JSON.stringify(pair)} of ${name}`, "an offset and a factor");
  }
  return { name, unit: typeof unit === "string" ? unit : "", offset: pair[0], factor: pair[1] };
}

/** A value in the units of the data; what was zero there is zero again. */
function inUnits(scaled: number, { offset, factor }: SeriesColumn): number {
  const value = offset + factor * scaled;
  return Math.abs(value) < ROUNDING * Math.abs(offset) ? 0 : value;
}

const scaledBy = (value: number, { offset, factor }: SeriesColumn) => (value - offset) / factor;

function activation(name: unknown): string {
  if (typeof name === "string" && Object.hasOwn(ACTIVATIONS, name)) return name;
  throw damaged(`an activation ${JSON.stringify(name)}`, `one of ${Object.keys(ACTIVATIONS).join(" ")}`);
}

function dense(config: any, name: string, weights: Weights): Dense[] {
  if (!Array.isArray(config?.[name])) throw damaged(`no list of layers ${name}`, "one");
  return config[name].map((layer: any, k: number) => {
    const [C, rows] = [count(layer, "0"), count(layer, "1")];
    const weight = weights.take(`${name}.${k}.weight`, [rows, C]);
    const bias = flag(layer, "2") ? weights.take(`${name}.${k}.bias`, [rows]) : null;
    return { C, rows, weight, bias, then: activation(layer[3]) };
  });
}

function mapped(values: Float32Array, name: string): Float32Array {
  return name === "" ? values : values.map(ACTIVATIONS[name]);
}

function through(layers: Dense[], x: Float32Array, T: number): Float32Array {
  let values = x;
  for (const { rows, weight, bias, then } of layers) {
    const out = new Float64Array(T * rows);
    affine(values, T, weight, bias, out);
    values = mapped(Float32Array.from(out), then);
  }
  return values;
}

/** The series that came with a model: what it reads [T, C] and the truth [T, K], both scaled, and the steps' names. */
type Given = { tokens: string[]; x: Float32Array; truth: Float32Array | null; forecast: Float32Array | null };

function readGiven(head: BundleHead, { columns, F }: Network, weights: Weights): Given | null {
  if (head.given === null) return null;
  const T = count(head.given, "steps");
  const optional = (name: string, size: number) => (weights.has(name) ? weights.values(name, [T, size]) : null);
  return {
    tokens: tokensOf(head, T),
    x: weights.take("given.input", [T, columns.features.length]),
    truth: optional("given.truth", columns.targets.length),
    forecast: optional("given.forecast", F),
  };
}

/** Steps from .. to-1 of a layer's tracks, which begin in the states before them. */
function trackPart(track: Track, from: number, to: number): Track {
  const cut = (values: Record<string, Float32Array>) =>
    Object.fromEntries(
      Object.entries(values).map(([name, all]) => {
        const width = name === "h" ? track.info.outputs : track.info.units;
        return [name, all.subarray(from * width, to * width)];
      }),
    );
  const { info, values, initial, carried, input } = track;
  const first = info.reverse ? to - 1 : from;
  return {
    ...{ info, values: cut(values), carried: carried && cut(carried) },
    initial: Object.fromEntries(Object.keys(initial).map((name) => [name, stateBefore(track, name, first)])),
    input: input && input.subarray(from * info.inputSize, to * info.inputSize),
  };
}

/** Steps from .. to-1 of a run of series. */
export function runPart(run: Run, from: number, to: number): Run {
  const { series, steps } = run;
  const cut = <A extends Float64Array | Float32Array>(all: A) =>
    all.subarray((from * all.length) / steps, (to * all.length) / steps) as A;
  return {
    ...run,
    ...{ steps: to - from, tokens: run.tokens.slice(from, to), known: run.known.slice(from, to) },
    tracks: run.tracks.map((track) => trackPart(track, from, to)),
    series: series && {
      ...{ from: series.from === null ? null : series.from + from, x: cut(series.x) },
      ...{ forecast: cut(series.forecast), values: cut(series.values) },
    },
  };
}

export function seriesModel(head: BundleHead, weights: Weights): Model {
  const network = new Network(head, weights);
  const given = readGiven(head, network, weights);
  const { lstm, window, F } = network;
  const { features } = network.columns;
  const C = features.length;
  const isOneWay = !lstm.sizes.bidirectional;

  /** Reads x [T, C], scaled; `from`: the first step in the given series; null for other rows. */
  function read(x: Float32Array, tokens: string[], from: number | null, edits: readonly Edit[], state?: State): Run {
    const T = tokens.length;
    const { tracks, out } = lstm.run(network.input(x, T), T, lstm.bind(edits, T), state);
    const scaled = network.output(out, T);
    if (network.last && (window || !isOneWay)) scaled.fill(NaN, 0, (T - 1) * F); // it never forecasts from there
    const values = Float64Array.from(x, (value, k) => inUnits(value, features[k % C]));
    const series = { from, x, values, forecast: network.inUnits(scaled) };
    const known = tokens.map(() => true);
    return Object.freeze({ tokens, known, steps: T, tracks, heads: [], surprise: null, edits, series });
  }

  let all: Run | null = null;
  const whole = ({ x, tokens }: Given): Run => (all ??= read(x, tokens, 0, []));

  const runSpan: Series["runSpan"] = (from, to, edits = []) => {
    if (given === null) return refuse("a part of a series", "rows of numbers", "This model came without a series.");
    const { x, tokens } = given;
    const part = (state?: State) => read(x.subarray(from * C, to * C), tokens.slice(from, to), from, edits, state);
    if (window) return part();
    if (edits.length === 0) return runPart(whole(given), from, to);
    if (isOneWay) return part(from === 0 ? undefined : statesBefore(whole(given), from));
    const inPart = ({ t }: Edit) => t?.map((k) => (k < 0 ? to : from) + k) ?? range(from, to); // what follows reads them too
    const edited = read(
      x,
      tokens,
      0,
      edits.map((edit) => ({ ...edit, t: inPart(edit) })),
    );
    return { ...runPart(edited, from, to), edits };
  };

  const runNumbers: Model["runNumbers"] = (rows, edits = [], names = null) => {
    const T = rows.length;
    if (T === 0) refuse("no step", "at least one", "Give it some numbers.");
    if (window && T !== window) refuse(`${T} steps`, `${window}: the model reads that many`, "Give as many.");
    if (rows.some((row) => row.length !== C || !allFinite(row))) {
      refuse("other numbers", `${C} finite ones at each step`, "Fix the input.");
    }
    const x = Float32Array.from(rows.flatMap((row) => Array.from(row, (value, k) => scaledBy(value, features[k]))));
    return read(x, names ?? range(0, T).map(String), null, edits);
  };

  const no = () => refuse("a text", "numbers", "It has no vocabulary: give it rows of numbers.");
  return {
    ...common(head, lstm),
    ...{ kind: "series-model", unit: "step", runNumbers, tokenise: no, run: no, stream: no },
    subject: (run) => explained(network, run, given?.x ?? (run.series as SeriesPart).x),
    parts: [...network.before.map(linearPart), ...layerParts(lstm.tracks, lstm.kind), ...network.after.map(linearPart)],
    series: {
      ...network.columns,
      ...{ ahead: network.ahead, window, steps: given?.tokens.length ?? 0, tokens: given?.tokens ?? [], runSpan },
      values: given && Float64Array.from(given.x, (value, k) => inUnits(value, features[k % C])),
      truth: given?.truth ? network.inUnits(given.truth) : null,
      forecast: () => {
        if (given?.forecast) return network.inUnits(given.forecast);
        return given && !window ? (whole(given).series as SeriesPart).forecast : null;
      },
    },
  };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, k) => from + k);
const linearPart = ({ rows, C }: Dense) => ({ label: "linear", shape: [rows, C] });

/** The states after the steps before this one, by track. */
function statesBefore({ tracks }: Run, t: number): State {
  return tracks.map((track) =>
    Object.fromEntries(Object.keys(track.initial).map((name) => [name, stateBefore(track, name, t)])),
  );
}

/** `all`: [T, C] of which the mean is what an uninformative step reads */
function explained(network: Network, run: Run, all: Float32Array): Subject {
  const { columns, lstm } = network;
  const C = columns.features.length;
  const base = Float32Array.from(columns.features, (_, c) => meanOf(all, c, C));
  const source = { x: (run.series as SeriesPart).x, base, read: (x: Float32Array, T: number) => network.input(x, T) };
  const readers = lstm.sizes.bidirectional && network.window === null && network.last ? [] : [reader(network)];
  return {
    ...createSubject(run, lstm, run.tracks, {
      readers,
      baseline: () => network.input(base, 1),
      baselineName: "the mean input",
    }),
    source,
  };
}

function meanOf(values: Float32Array, c: number, C: number): number {
  let sum = 0;
  for (let k = c; k < values.length; k += C) sum += values[k];
  return (sum * C) / values.length;
}

/** The forecasts as labels: of each target, and for a horizon of each step ahead. */
function reader(network: Network): Reader {
  const { columns, ahead, after, then } = network;
  const K = columns.targets.length;
  const labels = ahead.flatMap((steps) =>
    columns.targets.map(({ name }) => (ahead.length > 1 ? `${name} +${steps}` : name)),
  );
  const isLinear = then === "" && after.length < 2 && (after[0]?.then ?? "") === "";
  const logit = (label: number) => {
    if (!isLinear) return null;
    const { offset, factor } = columns.targets[label % K];
    const [layer] = after;
    if (layer === undefined) {
      return { vector: Float64Array.from(labels, (_, k) => (k === label ? factor : 0)), bias: offset };
    }
    const row = layer.weight.subarray(label * layer.C, (label + 1) * layer.C);
    return { vector: Float64Array.from(row, (w) => factor * w), bias: offset + factor * (layer.bias?.[label] ?? 0) };
  };
  const value = (out: Float32Array, label: number) => network.inUnits(network.output(out, 1))[label];
  return { name: "forecast", labels, logit, logProbability: isLinear ? null : value };
}
