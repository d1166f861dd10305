// The network of a model of series: linear layers and activations before and after one recurrent stack, and the names,
// units and scales of its columns.

import { damaged } from "studio/runtime/errors.js";
import { kindNamed } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import { Lstm } from "studio/runtime/lstm.js";
import { configSizes } from "studio/runtime/plain.js";
import { type Weights, count, flag, strings } from "studio/runtime/weights.js";
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

export class Network {
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
  for (const { rows, weight, bias, then } of layers) {
    const out = new Float64Array(T * rows);
    affine(values, T, weight, bias, out);
    values = mapped(Float32Array.from(out), then);
  }
  return values;
}
