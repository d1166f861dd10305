// The network of a model of series: linear layers and activations before and after one recurrent stack, and the names,
// units and scales of its columns.

import { damaged } from "studio/runtime/errors.js";
import { kindNamed } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import { Lstm } from "studio/runtime/lstm.js";
import { configSizes } from "studio/runtime/plain.js";
import { count, flag, strings, type Weights } from "studio/runtime/weights.js";
import type { BundleHead, SeriesColumn } from "studio/types.js";

/** @returns the error function, to 1e-9 */
export function erf(x: number): number {
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
