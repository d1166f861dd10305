// The operations of graphs: how many inputs and tensors each has, its settings, and the shapes of its results.

import { CELLS, GRAPH } from "studio/facts.js";

/** Sizes: integers, N (rows), T (time steps), or both as one axis. */
export type Shape = readonly (number | string)[];

export type Settings = Record<string, any>;

export const SYMBOLS = ["N", "T", "N*T", "T*N"];

/** The number of values in an array of this shape; those of one row and step if there are symbols. */
export const sizeOf = (shape: Shape) =>
  shape.reduce<number>((product, n) => product * (typeof n === "number" ? n : 1), 1);

export function need(fits: boolean, message: string): asserts fits {
  if (!fits) throw new Error(message);
}

export const isInt = (value: unknown) => Number.isInteger(value) && Math.abs(value as number) <= GRAPH.size;
export const isInts = (value: unknown) => Array.isArray(value) && value.every(isInt);

type IsSetting = (value: any) => boolean;
/** `counts`: the fewest and most inputs, and tensors. */
type Rule = {
  counts: [number, number, number, number];
  settings?: Record<string, IsSetting>;
  shapes: (settings: Settings, shapes: Shape[], stored: number[][]) => Shape[];
};

const flag: IsSetting = (value) => typeof value === "boolean";
const text: IsSetting = (value) => typeof value === "string";
const number: IsSetting = (value) => typeof value === "number" && Math.abs(value) < 3e38;
const list: IsSetting = (value) => isInts(value) && value.length <= 8;
const sizes: IsSetting = (value) =>
  Array.isArray(value) && value.length <= 8 && value.every((size) => isInt(size) || SYMBOLS.includes(size));
const cell: IsSetting = (value) => text(value) && Object.hasOwn(CELLS, value);

const isSame = (a: Shape, b: Shape) => a.length === b.length && a.every((size, k) => size === b[k]);
function withAxis(shape: Shape, axis: number, ...sizes: Shape): Shape {
  return [...shape.slice(0, axis), ...sizes, ...shape.slice(axis + 1)];
}

/** The size of an axis of a fixed size, or of one of the allowed symbols. */
function axisOf(shape: Shape, axis: number, allowed: string = ""): number {
  need(axis >= 0 && axis < shape.length, `it names axis ${axis} of a value of shape [${shape}]`);
  const size = shape[axis];
  const isFixed = typeof size === "number" || size === allowed;
  need(isFixed, `axis ${axis} of [${shape}] is ${size}, which would mix rows or steps`);
  return size as number;
}

function broadcast(_: Settings, [a, b]: Shape[]): Shape[] {
  const rank = Math.max(a.length, b.length);
  const [first, second] = [a, b].map((shape) => [...new Array(rank - shape.length).fill(1), ...shape]);
  const fits = first.every((size, k) => size === second[k] || size === 1 || second[k] === 1);
  need(fits, `shapes [${a}] and [${b}] do not fit each other`);
  return [first.map((size, k) => (size === 1 ? second[k] : size))];
}

/** The symbols of a shape, with the products of the sizes before, between and after them. */
function runs(shape: Shape): Shape {
  const result: (number | string)[] = [1];
  for (const size of shape) {
    if (typeof size === "number") (result[result.length - 1] as number) *= size;
    else for (const letter of size.split("*")) result.push(letter, 1);
  }
  return result;
}

function convolved({ stride, dilation, groups, padding }: Settings, [x]: Shape[], [weight, bias]: number[][]): Shape[] {
  need(x.length === 3 && weight.length === 3, `x has shape [${x}], and the weight [${weight}]: expected three axes`);
  const [rows, channels, length] = x;
  const [out, perGroup, taps] = weight;
  need(Math.min(stride, dilation, groups) >= 1 && padding.length === 2 && Math.min(...padding) >= 0, "its settings");
  const fits = channels === perGroup * groups && out % groups === 0 && isSame(bias ?? [out], [out]);
  need(fits, `its ${channels} channels, weight [${weight}] and bias do not fit each other`);
  const reach = (taps - 1) * dilation;
  if (typeof length === "string") {
    const isCausal = length === "T" && (rows === "N" || rows === 1) && stride === 1 && isSame(padding, [reach, 0]);
    need(isCausal, "over time only a causal convolution is in the list: stride 1, padded only on the left");
    return [[rows, out, length]];
  }
  const room = length + padding[0] + padding[1] - reach;
  need(room >= 1, `its ${taps} taps do not fit ${length} values`);
  return [[rows, out, Math.floor((room - 1) / stride) + 1]];
}

function layered(settings: Settings, [x, ...states]: Shape[]): Shape[] {
  const { hidden_size: H, proj_size: P, num_layers: L, bidirectional, batch_first: batchFirst } = settings;
  const { cell, input_size: C } = settings;
  const fits = L >= 1 && P >= 0 && P < H && (P === 0 || cell === "LSTM");
  need(fits, `its sizes are hidden ${H}, projection ${P} and ${L} layers`);
  need(x.length === 3 && x[2] === C, `x has shape [${x}], expected three axes and ${C}`);
  const [T, N] = batchFirst ? [x[1], x[0]] : x;
  need(T === "T" ? N === "N" || N === 1 : typeof T === "number", `x has shape [${x}], expected T (or a number), and N`);
  const directions = 1 + Number(bidirectional);
  const widths = [P || H, H].slice(0, CELLS[settings.cell as keyof typeof CELLS].carried.length);
  checkStates(states, widths.map((width) => [[L * directions, N, width], [L * directions, 1, width]])); // prettier-ignore
  return [[x[0], x[1], directions * (P || H)], ...widths.map((width) => [L * directions, N, width])];
}

function stepped({ input_size: C, hidden_size: H, cell }: Settings, [x, ...states]: Shape[]): Shape[] {
  need(x.length === 2 && x[1] === C && H >= 1, `x has shape [${x}], expected two axes and ${C}`);
  const carried = CELLS[cell as keyof typeof CELLS].carried;
  checkStates(states, carried.map(() => [[x[0], H], [1, H]])); // prettier-ignore
  return carried.map(() => [x[0], H]);
}

/** Requires none of the states, or each of one of its shapes. */
function checkStates(states: Shape[], allowed: Shape[][]) {
  const fits =
    states.length === allowed.length && states.every((state, k) => allowed[k].some((one) => isSame(state, one)));
  need(states.length === 0 || fits, `its states have shapes [${states.join("] [")}]`);
}

const same = (_: Settings, [x]: Shape[]) => [x];
const SIZES = { prefix: text, cell, input_size: isInt, hidden_size: isInt, bias: flag };
const LAYER = { ...SIZES, num_layers: isInt, proj_size: isInt, bidirectional: flag, batch_first: flag };
const binary: Rule = { counts: [2, 2, 0, 0], shapes: broadcast };
const shaped = (settings: Rule["settings"], shapes: Rule["shapes"]): Rule => ({
  counts: [1, 1, 0, 0],
  settings,
  shapes,
});
const unary = (settings: Rule["settings"] = {}): Rule => shaped(settings, same);

const reduced = shaped({ axes: list, keep: flag }, ({ axes, keep }, [x]) => {
  need(new Set(axes).size === axes.length && axes.length > 0, `its axes are [${axes}]`);
  for (const axis of axes) axisOf(x, axis, "T");
  return [x.map((size, axis) => (axes.includes(axis) ? 1 : size)).filter((_, axis) => keep || !axes.includes(axis))];
});

export const RULES: Record<string, Rule> = {
  layer: { counts: [1, 3, 0, 0], settings: LAYER, shapes: layered },
  cell: { counts: [1, 3, 0, 0], settings: SIZES, shapes: stepped },
  linear: {
    counts: [1, 1, 1, 2],
    shapes: (_, [x], [weight, bias]) => {
      const fits = weight.length === 2 && x.length > 0 && x[x.length - 1] === weight[1];
      need(fits && isSame(bias ?? [weight[0]], [weight[0]]), `x has shape [${x}], and the weight [${weight}]`);
      return [[...x.slice(0, -1), weight[0]]];
    },
  },
  embedding: {
    counts: [1, 1, 1, 1],
    shapes: (_, [x], [weight]) => {
      need(weight.length === 2, "its weight is not a matrix");
      return [[...x, weight[1]]];
    },
  },
  conv1d: {
    counts: [1, 1, 1, 2],
    settings: { stride: isInt, dilation: isInt, groups: isInt, padding: list },
    shapes: convolved,
  },
  pad: shaped({ axis: isInt, amount: list, mode: text, value: number }, ({ axis, amount, mode }, [x]) => {
    const size = axisOf(x, axis);
    const fits = amount.length === 2 && Math.min(...amount) >= 0 && ["constant", "reflect"].includes(mode);
    need(fits, "its amount or mode");
    need(mode === "constant" || Math.max(...amount) < size, "it reflects more values than there are");
    return [withAxis(x, axis, size + amount[0] + amount[1])];
  }),
  layer_norm: {
    counts: [1, 1, 0, 2],
    settings: { count: isInt, eps: number },
    shapes: ({ count }, [x], stored) => {
      need(count >= 1 && count <= x.length, `it normalises ${count} axes of [${x}]`);
      for (let axis = x.length - count; axis < x.length; axis++) axisOf(x, axis);
      const fits = stored.every((weight) => isSame(weight, x.slice(-count)));
      need(fits, `its weights do not fit [${x}]`);
      return [x];
    },
  },
  ...Object.fromEntries(["relu", "silu", "tanh", "sigmoid", "sqrt"].map((op) => [op, unary()])),
  elu: unary({ alpha: number }),
  gelu: unary({ tanh: flag }),
  softmax: shaped({ axis: isInt }, ({ axis }, [x]) => [(axisOf(x, axis, "T"), x)]),
  ...Object.fromEntries(["add", "subtract", "multiply", "divide"].map((op) => [op, binary])),
  concatenate: {
    counts: [1, GRAPH.nodes, 0, 0],
    settings: { axis: isInt },
    shapes: ({ axis }, parts) => {
      const size = parts.reduce((sum, part) => sum + axisOf(part, axis), 0);
      const fits = parts.every((part) => isSame(withAxis(part, axis), withAxis(parts[0], axis)));
      need(fits, "its parts do not fit each other");
      return [withAxis(parts[0], axis, size)];
    },
  },
  slice: shaped({ axis: isInt, start: isInt, stop: isInt, step: isInt }, ({ axis, start, stop, step }, [x]) => {
    const size = axisOf(x, axis);
    need(start >= 0 && start < stop && stop <= size && step >= 1, `it takes ${start}:${stop} of ${size}`);
    return [withAxis(x, axis, Math.ceil((stop - start) / step))];
  }),
  last: shaped({ axis: isInt }, ({ axis }, [x]) => {
    need((axisOf(x, axis, "T") as unknown) === "T", `axis ${axis} of [${x}] is not time`);
    return [withAxis(x, axis)];
  }),
  reshape: shaped({ shape: sizes }, ({ shape }, [x]) => {
    need(isSame(runs(x), runs(shape)), `[${x}] as [${shape}] would mix rows, steps and features`);
    return [shape];
  }),
  transpose: shaped({ order: list }, ({ order }, [x]) => {
    need(isSame([...order].sort(), [...x.keys()]), `its order is [${order}] for [${x}]`);
    return [order.map((axis: number) => x[axis])];
  }),
  mean: reduced,
  maximum: reduced,
  constant: { counts: [0, 0, 0, 1], settings: { value: number }, shapes: (_, _x, [tensor]) => [tensor ?? []] },
};
