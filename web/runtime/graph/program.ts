// A graph with its weights, which runs over whole sequences, or over a chunk after another.

import { blake2b } from "@noble/hashes/blake2b";
import { bytesToHex } from "@noble/hashes/utils";
import { damaged, refuse } from "studio/runtime/errors.js";
import { causal, COMPUTE, type NumberArray, taken, transposed, zeros } from "studio/runtime/graph/arithmetic.js";
import type { Graph, GraphInput, GraphNode } from "studio/runtime/graph/graph.js";
import { isRecurrent, labelOf, overTime, parseGraph, statesOf } from "studio/runtime/graph/graph.js";
import type { Shape } from "studio/runtime/graph/rules.js";
import { KINDS } from "studio/runtime/kinds.js";
import { Lstm } from "studio/runtime/lstm.js";
import { describe, read } from "studio/runtime/safetensors.js";
import { Weights } from "studio/runtime/weights.js";

/** An argument: numbers, row after row, and their shape; integers may be bigints. */
export type GraphArgument = { shape: readonly number[]; data: ArrayLike<number> | ArrayLike<bigint> };
/** What is carried from chunk to chunk, by the number of the node: a layer's states, a convolution's last inputs. */
export type Carried = Map<number, NumberArray[]>;
export class GraphProgram {
  graph: Graph;
  inputs: readonly GraphInput[];
  outputs: readonly Shape[]; // N stands for rows, T for time steps
  #tensors: Map<string, NumberArray> = new Map();
  #layers: Map<string, Lstm>;
  #file: ArrayBuffer; // a copy, since the caller may write into its own
  #fingerprint: string = "";

  /** @param bytes of a file of kind "graph" */
  constructor(bytes: ArrayBuffer) {
    const { metadata, places } = describe(bytes);
    this.#file = bytes.slice(0);
    const other = [...places].find(([, { dtype }]) => !["F32", "F16", "BF16", "I8"].includes(dtype));
    if (other) throw damaged(`tensor ${other[0]} of type ${other[1].dtype}`, "F32, F16, BF16 or I8");
    this.graph = parseGraph(metadata.graph, new Map([...places].map(([name, { shape }]) => [name, shape])));
    this.inputs = this.graph.inputs;
    this.outputs = this.graph.outputs.map((value) => this.graph.shapes[value]);
    const weights = new Weights(read(this.#file, true));
    for (const { tensors } of this.graph.nodes) {
      for (const name of tensors) {
        const { shape } = places.get(name) as { shape: number[] };
        if (!this.#tensors.has(name)) this.#tensors.set(name, { shape, data: weights.take(name, shape) });
      }
    }
    this.#layers = layersOf(this.graph.nodes.filter(isRecurrent), weights);
    weights.finish();
  }

  /** Of the file, by which a stream's state knows its model. It is computed if it is needed, since that takes a while. */
  get fingerprint(): string {
    return (this.#fingerprint ||= bytesToHex(blake2b(new Uint8Array(this.#file), { dkLen: 16 })));
  }

  get takesRows(): boolean {
    return this.inputs.some(({ shape }) => shape.includes("N"));
  }

  /** The arguments as arrays, and the sizes of N and T. */
  read(args: readonly GraphArgument[]): [NumberArray[], Record<string, number>] {
    const { inputs } = this;
    if (!Array.isArray(args) || args.length !== inputs.length) {
      const names = inputs.map(({ name }) => name).join(", ");
      refuse(`${args?.length ?? "no"} arguments`, `a list of ${inputs.length}: ${names}`, "Give an array for each.");
    }
    const sizes: Record<string, number> = {};
    const arrays = inputs.map(({ name, shape, ints }, k) => {
      const { shape: got, data } = (args[k] ?? {}) as GraphArgument;
      const wanted = shape.map((size) => sizes[size] ?? size);
      const fits = (want: number | string, axis: number) =>
        typeof want === "number" ? got[axis] === want : Number.isSafeInteger(got[axis]) && got[axis] >= 1;
      if (!Array.isArray(got) || got.length !== wanted.length || !wanted.every(fits)) {
        refuse(`${name} of shape [${got}]`, `[${wanted}]`, "Give it in that shape; N and T are at least 1.");
      }
      const count = got.reduce((product, size) => product * size, 1);
      if (data?.length !== count)
        refuse(`${name} of ${data?.length} numbers`, `${count}, as its shape says`, "Fix it.");
      shape.forEach((size, axis) => typeof size === "string" && (sizes[size] = got[axis]));
      if (!ints && typeof data[0] === "bigint") refuse(`${name} of bigints`, "numbers", "Convert them.");
      const numbers = data as ArrayLike<number>;
      const array = ints ? Float64Array.from(numbers, Number) : Float32Array.from(numbers);
      if (ints && !array.every(Number.isSafeInteger)) refuse(`${name} of other numbers`, "integers", "Fix the input.");
      return { shape: [...got], data: array };
    });
    return [arrays, sizes];
  }

  /** The results, and what the next chunk needs; `carried`: of the last one. */
  compute(args: NumberArray[], sizes: Record<string, number>, carried?: Carried) {
    const { nodes, firsts, ends, outputs } = this.graph;
    const values = new Map(args.entries());
    const after: Carried = new Map();
    nodes.forEach((node, place) => {
      const { op, settings } = node;
      const inputs = node.inputs.map((value) => values.get(value) as NumberArray);
      const stored = node.tensors.map((name) => this.#tensors.get(name) as NumberArray);
      const isOverTime = overTime(this.graph, node);
      let results: NumberArray[];
      if (isRecurrent(node)) {
        results = runLayer(node, inputs, this.#layers.get(settings.prefix) as Lstm, carried?.get(place));
        if (isOverTime) after.set(place, results.slice(1));
      } else if (isOverTime) {
        const [result, context] = causal(node, inputs[0], stored, carried?.get(place)?.[0]);
        results = [result];
        after.set(place, [context]);
      } else if (op === "reshape") {
        results = [{ shape: sized(settings.shape, sizes), data: inputs[0].data }];
      } else {
        results = [COMPUTE[op](node, inputs, stored)];
      }
      results.forEach((result, k) => values.set(firsts[place] + k, result));
      for (const value of ends[place]) values.delete(value);
    });
    const results = new Map([...new Set(outputs)].map((value) => [value, ownCopy(values.get(value) as NumberArray)]));
    return { results: outputs.map((value) => results.get(value) as NumberArray), after };
  }

  /** What a stream of these rows carries before its first step. */
  initialState(rows: number): Carried {
    const { nodes, shapes, firsts } = this.graph;
    const carried: Carried = new Map();
    nodes.forEach((node, place) => {
      if (!overTime(this.graph, node)) return;
      const { num_layers: L, hidden_size: H, proj_size: P, dilation } = node.settings;
      if (node.op === "conv1d") {
        const reach = ((this.#tensors.get(node.tensors[0]) as NumberArray).shape[2] - 1) * dilation;
        carried.set(place, [zeros([rows, shapes[node.inputs[0]][1] as number, reach])]);
        return;
      }
      const learned = node.inputs.slice(1).map((value) => nodes[firsts.indexOf(value)].tensors[0]); // constants
      const states = statesOf(node).map((state, k) => {
        const first = this.#tensors.get(learned[k]);
        return first ? taken(first, 1, new Array(rows).fill(0)) : zeros([L, rows, state === "h" ? P || H : H]);
      });
      carried.set(place, states);
    });
    return carried;
  }
}

const ownCopy = ({ shape, data }: NumberArray) => ({ shape: [...shape], data: data.slice() });
const sized = (shape: Shape, sizes: Record<string, number>) =>
  shape.map((size) =>
    typeof size === "number" ? size : size.split("*").reduce((product, name) => product * sizes[name], 1),
  );

/** The layers of a graph by the prefix of their weights; nodes may share one. */
export function layersOf(nodes: readonly GraphNode[], weights: Weights): Map<string, Lstm> {
  const layers = new Map<string, Lstm>();
  const forms = new Map<string, string>();
  for (const node of nodes) {
    const { prefix, batch_first: _, ...sizes } = node.settings;
    const form = JSON.stringify(Object.entries({ proj_size: 0, num_layers: 1, bidirectional: false, ...sizes }).sort());
    if ((forms.get(prefix) ?? form) !== form) {
      throw damaged(`${labelOf(node)}, whose weights another node reads in another form`, "one form");
    }
    forms.set(prefix, form);
    if (!layers.has(prefix)) layers.set(prefix, layerOf(node, weights));
  }
  return layers;
}

function layerOf(node: GraphNode, weights: Weights): Lstm {
  const { prefix, cell, input_size: inputSize, hidden_size: hiddenSize, bias, ...more } = node.settings;
  const { num_layers: numLayers = 1, proj_size: projSize = 0, bidirectional = false } = more;
  try {
    return new Lstm({ inputSize, hiddenSize, numLayers, bidirectional, bias, projSize }, weights, prefix, KINDS[cell]);
  } catch (error) {
    throw damaged(`${labelOf(node)}: ${(error as Error).message}`, "weights of its sizes");
  }
}

/** The output of a layer and its states, or the states of a cell; `before`: the states carried. */
export function runLayer(node: GraphNode, inputs: NumberArray[], layer: Lstm, before?: NumberArray[]): NumberArray[] {
  const { op, settings } = node;
  const isLayer = op === "layer";
  const [x, ...initial] = inputs;
  const byRows = !isLayer || settings.batch_first ? x : transposed(x, [1, 0, 2]);
  const [N, T] = isLayer ? byRows.shape : [byRows.shape[0], 1];
  const C = byRows.data.length / (N * T);
  const names = statesOf(node);
  const count = layer.cells.length;
  const given = before ?? initial;
  const out = zeros([N, T, layer.outputSize]);
  const ends = names.map((name) => zeros([count, N, layer.begin()[0][name].length]));
  for (let n = 0; n < N; n++) {
    const state = layer.begin();
    given.forEach(({ shape, data }, k) => {
      const [rows, width] = shape.slice(-2);
      state.forEach((part, j) => {
        const at = (j * rows + (rows === 1 ? 0 : n)) * width;
        part[names[k]].set(data.subarray(at, at + width));
      });
    });
    const run = layer.run(Float32Array.from(byRows.data.subarray(n * T * C, (n + 1) * T * C)), T, [], state);
    out.data.set(run.out, n * T * layer.outputSize);
    names.forEach((name, k) =>
      run.state.forEach((part, j) => ends[k].data.set(part[name], (j * N + n) * part[name].length)),
    );
  }
  if (!isLayer) return ends.map(({ shape, data }) => ({ shape: shape.slice(1), data }));
  return [settings.batch_first ? out : transposed(out, [1, 0, 2]), ...ends];
}
