// A series model: its network, with the names, units and scales of its columns, and its runs, which read parts of the
// series that came with it, or rows of numbers.

import { common, layerParts, noText, unlabelled } from "studio/runtime/common.js";
import { damaged, refuse } from "studio/runtime/errors.js";
import { createSubject } from "studio/runtime/explain/subject.js";
import { ACTIVATIONS, kindNamed } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import { Lstm, type State } from "studio/runtime/lstm.js";
import { configSizes, tokensOf } from "studio/runtime/plain.js";
import { statesBefore } from "studio/runtime/states.js";
import { allFinite, count, flag, strings, type Weights } from "studio/runtime/weights.js";
import type { BundleHead, Edit, Model, Reader, Run, Series, SeriesColumn, SeriesPart, Subject } from "studio/types.js";

const ROUNDING = 1e-7; // of float32

/** A linear layer, [rows, C], and the activation after it. */
export type Dense = { C: number; rows: number; weight: Float32Array; bias: Float32Array | null; then: string };

export type Network = ReturnType<typeof readNetwork>;

export function readNetwork({ config, vocabulary, cell, cells }: BundleHead, weights: Weights) {
  const { units } = vocabulary ?? {};
  const named = (names: string, scale: string) =>
    strings(vocabulary?.[names], names).map((name, k) => column(name, units?.[name], config?.[scale]?.[k]));
  const columns = { features: named("features", "scale"), targets: named("targets", "target_scale") };
  const before = dense(config, "before", weights);
  const lstm = new Lstm(configSizes(config?.rnn), weights, "rnn.", kindNamed(cell, cells));
  const then = activation(config.then);
  const last = flag(config, "last"); // whether only the last step of a run gives a forecast
  const after = dense(config, "after", weights);
  const window = config.window === null ? null : count(config, "window");
  const [steps, horizon] = [count(config, "steps", 0), count(config, "horizon", 0)];
  const ahead = steps ? Array.from({ length: steps }, (_, k) => k + 1) : [horizon]; // steps after the last one read
  const K = columns.targets.length;
  const F = ahead.length * K; // forecasts after a step
  const reads = [...before.map(({ C }) => C), lstm.sizes.inputSize, ...after.map(({ C }) => C)];
  const gives = [...before.map(({ rows }) => rows), lstm.outputSize, ...after.map(({ rows }) => rows)];
  if ([columns.features.length, ...gives].join() !== [...reads, F].join()) {
    throw damaged("layers whose sizes do not fit each other, or the columns", "those of the model");
  }
  return {
    ...{ columns, before, lstm, then, last, after, ahead, window, F },
    /** `x`: [T, C] scaled; returns what the recurrent stack reads */
    input: (x: Float32Array, T: number) => through(before, x, T),
    /** `out`: [T, D*P] of the recurrent stack; returns [T, F], scaled */
    output: (out: Float32Array, T: number) => through(after, mapped(out, then), T),
    /** `scaled`: [T, F]; returns it in the units of the data */
    inUnits: (scaled: Float32Array) => Float64Array.from(scaled, (value, k) => inUnits(value, columns.targets[k % K])),
  };
}

function column(name: string, unit: unknown, pair: unknown): SeriesColumn {
  if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(Number.isFinite) || pair[1] === 0) {
    throw damaged(`a scale ${JSON.stringify(pair)} of ${name}`, "an offset and a factor");
  }
  return { name, unit: typeof unit === "string" ? unit : "", offset: pair[0], factor: pair[1] };
}

/** A value in the units of the data; what was zero there is zero again. */
export function inUnits(scaled: number, { offset, factor }: SeriesColumn): number {
  const value = offset + factor * scaled;
  return Math.abs(value) < ROUNDING * Math.abs(offset) ? 0 : value;
}

export const scaledBy = (value: number, { offset, factor }: SeriesColumn) => (value - offset) / factor;

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

const mapped = (values: Float32Array, name: string): Float32Array =>
  name === "" ? values : values.map(ACTIVATIONS[name]);

function through(layers: Dense[], x: Float32Array, T: number): Float32Array {
  let values = x;
  for (const { weight, bias, then } of layers)
    values = mapped(Float32Array.from(affine(values, T, weight, bias)), then);
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

/** Steps from .. to-1 of a run of series, whose tracks begin in the states before them. */
export function runPart(run: Run, from: number, to: number): Run {
  const { series, steps } = run;
  const cut = <A extends Float64Array | Float32Array>(all: A) =>
    all.subarray((from * all.length) / steps, (to * all.length) / steps) as A;
  const cutAll = (values: Record<string, Float32Array>) =>
    Object.fromEntries(Object.entries(values).map(([name, all]) => [name, cut(all)]));
  const tracks = run.tracks.map((track) => ({
    ...{ info: track.info, values: cutAll(track.values), carried: track.carried && cutAll(track.carried) },
    initial: statesBefore(track, track.info.reverse ? to - 1 : from),
    input: track.input && cut(track.input),
  }));
  return {
    ...run,
    ...{ steps: to - from, tokens: run.tokens.slice(from, to), known: run.known.slice(from, to), tracks },
    series: series && {
      ...{ from: series.from === null ? null : series.from + from, x: cut(series.x) },
      ...{ forecast: cut(series.forecast), values: cut(series.values) },
    },
  };
}

export function seriesModel(head: BundleHead, weights: Weights): Model {
  const network = readNetwork(head, weights);
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
    return Object.freeze({ ...unlabelled(tokens, tracks), edits, series });
  }

  let all: Run | null = null;
  const whole = ({ x, tokens }: Given): Run => (all ??= read(x, tokens, 0, []));

  const runSpan: Series["runSpan"] = (from, to, edits = []) => {
    if (given === null) return refuse("a part of a series", "rows of numbers", "This model came without a series.");
    const { x, tokens } = given;
    const part = (state?: State) => read(x.subarray(from * C, to * C), tokens.slice(from, to), from, edits, state);
    if (window) return part();
    if (edits.length === 0) return runPart(whole(given), from, to);
    if (isOneWay) return part(from === 0 ? undefined : whole(given).tracks.map((track) => statesBefore(track, from)));
    const inPart = ({ t }: Edit) => t?.map((k) => (k < 0 ? to : from) + k) ?? range(from, to); // what follows reads them too
    const inWhole = edits.map((edit) => ({ ...edit, t: inPart(edit) }));
    return { ...runPart(read(x, tokens, 0, inWhole), from, to), edits };
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

  return {
    ...common(head, lstm),
    ...{ kind: "series-model", unit: "step", runNumbers, tokenise: noText, run: noText, stream: noText },
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

/** `all`: [T, C] of which the mean is what an uninformative step reads */
function explained(network: Network, run: Run, all: Float32Array): Subject {
  const { columns, lstm } = network;
  const C = columns.features.length;
  const sums = new Float64Array(C);
  for (let k = 0; k < all.length; k++) sums[k % C] += all[k];
  const base = Float32Array.from(sums, (sum) => (sum * C) / all.length);
  const source = { x: (run.series as SeriesPart).x, base, read: (x: Float32Array, T: number) => network.input(x, T) };
  const readers = lstm.sizes.bidirectional && network.window === null && network.last ? [] : [reader(network)];
  const around = { readers, baseline: () => network.input(base, 1), baselineName: "the mean input" };
  return { ...createSubject(run, lstm, run.tracks, around), source };
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
