// Computes the operations of graphs on arrays, whose numbers are float32 (or integers), and sums float64.

import { refuse } from "studio/runtime/errors.js";
import { type GraphNode, labelOf } from "studio/runtime/graph/graph.js";
import { type Settings, sizeOf } from "studio/runtime/graph/rules.js";
import { ACTIVATIONS } from "studio/runtime/kinds.js";
import { affine } from "studio/runtime/linear.js";
import { softmax } from "studio/runtime/softmax.js";

type Numbers = Float32Array | Float64Array;

/** An array of any number of axes, row after row. Integers are in a Float64Array. */
export interface NumberArray {
  shape: number[];
  data: Numbers;
}

/** An array of so many numbers of the same type. */
const made = (like: Numbers, length: number) => new (like.constructor as Float64ArrayConstructor)(length);
const floats = (shape: number[], data: Float32Array) => ({ shape, data });
export const zeros = (shape: number[]) => ({ shape, data: new Float32Array(sizeOf(shape)) });
const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1);
const stridesOf = (shape: readonly number[]) => shape.map((_, axis) => product(shape.slice(axis + 1)));

/** Where the values of an array of this shape are, if its axes have these strides. */
function placesOf(shape: readonly number[], strides: readonly number[]): Float64Array {
  let places = Float64Array.of(0);
  shape.forEach((size, axis) => {
    const wider = new Float64Array(places.length * size);
    for (let k = 0; k < wider.length; k++) wider[k] = places[Math.floor(k / size)] + (k % size) * strides[axis];
    places = wider;
  });
  return places;
}

/** The array with its axes in another order. */
export function transposed({ shape, data }: NumberArray, order: readonly number[]): NumberArray {
  const strides = stridesOf(shape);
  const [sizes, ordered] = [shape, strides].map((all) => order.map((axis) => all[axis]));
  const places = placesOf(sizes, ordered);
  const out = made(data, places.length);
  for (let k = 0; k < out.length; k++) out[k] = data[places[k]];
  return { shape: sizes, data: out };
}

/** The parts of an axis with these numbers, in order; `value` in place of negative ones. */
export function taken({ shape, data }: NumberArray, axis: number, numbers: readonly number[], value: number = 0) {
  const [inner, width] = [product(shape.slice(axis + 1)), shape[axis]];
  const sizes = shape.map((size, k) => (k === axis ? numbers.length : size));
  const out = made(data, product(sizes)).fill(value);
  for (let to = 0, part = 0; to < out.length; to += inner, part++) {
    const number = numbers[part % numbers.length];
    const from = (Math.floor(part / numbers.length) * width + number) * inner;
    for (let k = 0; number >= 0 && k < inner; k++) out[to + k] = data[from + k];
  }
  return { shape: sizes, data: out };
}

/** `count` numbers from one on, `step` apart. */
const range = (start: number, count: number, step: number = 1) =>
  Array.from({ length: count }, (_, k) => start + k * step);

export function joined(parts: readonly NumberArray[], axis: number): NumberArray {
  const shape = parts[0].shape.map((size, k) =>
    k === axis ? parts.reduce((sum, part) => sum + part.shape[k], 0) : size,
  );
  const data = made(parts[0].data, product(shape));
  const row = product(shape.slice(axis));
  let begin = 0;
  for (const part of parts) {
    const width = product(part.shape.slice(axis));
    for (let k = 0; k * row < data.length; k++)
      data.set(part.data.subarray(k * width, (k + 1) * width), k * row + begin);
    begin += width;
  }
  return { shape, data };
}

/** Writes new parts of an axis in place. */
export function put({ shape, data }: NumberArray, axis: number, numbers: readonly number[], parts: NumberArray) {
  const inner = product(shape.slice(axis + 1));
  for (let outer = 0; outer < product(shape.slice(0, axis)); outer++) {
    numbers.forEach((number, k) => {
      const from = (outer * numbers.length + k) * inner;
      data.set(parts.data.subarray(from, from + inner), (outer * shape[axis] + number) * inner);
    });
  }
}

/** Pads an axis by a value or, if that is null, by reflection. */
function padded(x: NumberArray, axis: number, [left, right]: number[], value: number | null): NumberArray {
  const size = x.shape[axis];
  const reflected = (at: number) => (at < 0 ? -at : at < size ? at : 2 * (size - 1) - at);
  const filled = (at: number) => (at < size ? at : -1);
  return taken(x, axis, range(-left, left + size + right).map(value === null ? reflected : filled), value ?? 0);
}

/** `x`: [N, groups * each, length], padded. */
function convolved(x: NumberArray, { stride, dilation, groups }: Settings, [weight, bias]: NumberArray[]) {
  const [N, channels, length] = x.shape;
  const [out, each, taps] = weight.shape;
  const steps = Math.floor((length - (taps - 1) * dilation - 1) / stride) + 1;
  const result = zeros([N, out, steps]);
  const sums = new Float64Array(steps);
  for (let k = 0; k < N * out; k++) {
    const [n, o] = [Math.floor(k / out), k % out];
    sums.fill(bias ? bias.data[o] : 0);
    for (let tap = 0; tap < each * taps; tap++) {
      const channel = Math.floor((o * groups) / out) * each + Math.floor(tap / taps);
      const first = (n * channels + channel) * length + (tap % taps) * dilation;
      const w = weight.data[o * each * taps + tap];
      for (let t = 0; t < steps; t++) sums[t] += w * x.data[first + t * stride];
    }
    result.data.set(sums, k * steps);
  }
  return result;
}

/** Convolves over time after what was read before, and returns what is carried on as well. */
export function causal(node: GraphNode, x: NumberArray, stored: NumberArray[], before?: NumberArray): NumberArray[] {
  const reach = (stored[0].shape[2] - 1) * node.settings.dilation;
  const wide = before && reach ? joined([before, x], 2) : padded(x, 2, [reach, 0], 0);
  const context = taken(wide, 2, range(wide.shape[2] - reach, reach));
  return [convolved(wide, node.settings, stored), context];
}

function linear(x: NumberArray, [weight, bias]: NumberArray[]): NumberArray {
  const [rows, C] = weight.shape;
  const [W, b] = [weight.data as Float32Array, (bias?.data ?? null) as Float32Array | null];
  return floats([...x.shape.slice(0, -1), rows], Float32Array.from(affine(x.data, x.data.length / C, W, b)));
}

function embedded(node: GraphNode, ids: NumberArray, weight: NumberArray): NumberArray {
  const [rows, width] = weight.shape;
  const out = zeros([...ids.shape, width]);
  ids.data.forEach((id, k) => {
    if (id < 0 || id >= rows) refuse(`index ${id} for ${labelOf(node)}`, `0 to ${rows - 1}`, "Give another.");
    out.data.set(weight.data.subarray(id * width, (id + 1) * width), k * width);
  });
  return out;
}

function normalised(x: NumberArray, { count, eps }: Settings, [weight, bias]: NumberArray[]): NumberArray {
  const width = product(x.shape.slice(x.shape.length - count));
  const out = zeros(x.shape);
  for (let at = 0; at < out.data.length; at += width) {
    const row = x.data.subarray(at, at + width);
    const mean = sumOf(row) / width;
    const deviation = Math.sqrt(sumOf(row, mean) / width + Math.fround(eps));
    for (let k = 0; k < width; k++) {
      out.data[at + k] = ((row[k] - mean) / deviation) * (weight ? weight.data[k] : 1) + (bias ? bias.data[k] : 0);
    }
  }
  return out;
}

/** The sum, or that of squared distances from a number. */
function sumOf(row: Numbers, from: number | null = null): number {
  let sum = 0;
  for (let k = 0; k < row.length; k++) sum += from === null ? row[k] : (row[k] - from) ** 2;
  return sum;
}

function reduced(x: NumberArray, { axes, keep }: Settings, of: (row: Numbers) => number): NumberArray {
  const kept = [...x.shape.keys()].filter((axis) => !axes.includes(axis));
  const { data } = transposed(x, [...kept, ...axes]);
  const shape = keep
    ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size))
    : kept.map((axis) => x.shape[axis]);
  const out = zeros(shape);
  const width = data.length / out.data.length;
  for (let k = 0; k < out.data.length; k++) out.data[k] = of(data.subarray(k * width, (k + 1) * width));
  return out;
}

/** A NaN stays. */
function highest(row: Numbers): number {
  let most = -Infinity;
  for (let k = 0; k < row.length; k++) most = Math.max(most, row[k]);
  return most;
}

function softmaxOver(x: NumberArray, axis: number): NumberArray {
  const order = [...[...x.shape.keys()].filter((k) => k !== axis), axis];
  const { shape, data } = transposed(x, order);
  const out = floats(shape, softmax(data, shape[shape.length - 1]));
  return transposed(
    out,
    order.map((_, k) => order.indexOf(k)),
  );
}

function mapped({ shape, data }: NumberArray, of: (value: number) => number): NumberArray {
  const out = zeros(shape);
  for (let k = 0; k < data.length; k++) out.data[k] = of(data[k]);
  return out;
}

function combined([a, b]: NumberArray[], of: (a: number, b: number) => number): NumberArray {
  const rank = Math.max(a.shape.length, b.shape.length);
  const [first, second] = [a, b].map(({ shape }) => [...new Array(rank - shape.length).fill(1), ...shape]);
  const shape: number[] = first.map((size, axis) => (size === 1 ? second[axis] : size));
  const places = (of: number[]) => {
    const strides = stridesOf(of);
    return of.join() === shape.join() ? null : placesOf(shape, strides.map((stride, k) => (of[k] === 1 ? 0 : stride))); // prettier-ignore
  };
  const [left, right] = [places(first), places(second)];
  const out = zeros(shape);
  for (let k = 0; k < out.data.length; k++) out.data[k] = of(a.data[left ? left[k] : k], b.data[right ? right[k] : k]);
  return out;
}

type Compute = (node: GraphNode, inputs: NumberArray[], stored: NumberArray[]) => NumberArray;
const unary =
  (of: (value: number) => number): Compute =>
  (_, [x]) =>
    mapped(x, of);
const binary =
  (of: (a: number, b: number) => number): Compute =>
  (_, inputs) =>
    combined(inputs, of);
const roughGelu = (x: number) => 0.5 * x * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x ** 3)));

export const COMPUTE: Record<string, Compute> = {
  linear: (_, [x], stored) => linear(x, stored),
  embedding: (node, [ids], [weight]) => embedded(node, ids, weight),
  conv1d: ({ settings }, [x], stored) => convolved(padded(x, 2, settings.padding, 0), settings, stored),
  pad: ({ settings: { axis, amount, mode, value } }, [x]) => padded(x, axis, amount, mode === "reflect" ? null : value),
  layer_norm: ({ settings }, [x], stored) => normalised(x, settings, stored),
  ...Object.fromEntries(["relu", "silu", "tanh", "sigmoid"].map((op) => [op, unary(ACTIVATIONS[op])])),
  sqrt: unary(Math.sqrt),
  elu: ({ settings: { alpha } }, [x]) => mapped(x, (value) => (value > 0 ? value : alpha * Math.expm1(value))),
  gelu: ({ settings }, [x]) => mapped(x, settings.tanh ? roughGelu : ACTIVATIONS.gelu),
  softmax: ({ settings }, [x]) => softmaxOver(x, settings.axis),
  add: binary((a, b) => a + b),
  subtract: binary((a, b) => a - b),
  multiply: binary((a, b) => a * b),
  divide: binary((a, b) => a / b),
  concatenate: ({ settings }, inputs) => joined(inputs, settings.axis),
  slice: ({ settings: { axis, start, stop, step } }, [x]) =>
    taken(x, axis, range(start, Math.ceil((stop - start) / step), step)),
  last: ({ settings: { axis } }, [x]) => {
    const { shape, data } = taken(x, axis, [x.shape[axis] - 1]);
    return { shape: shape.filter((_, k) => k !== axis), data };
  },
  transpose: ({ settings }, [x]) => transposed(x, settings.order),
  mean: ({ settings }, [x]) => reduced(x, settings, (row) => sumOf(row) / row.length),
  maximum: ({ settings }, [x]) => reduced(x, settings, highest),
  constant: ({ settings }, _, [tensor]) => tensor ?? floats([], Float32Array.of(settings.value)),
};
