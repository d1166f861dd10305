// A whole model as a graph, as hiddenstate.models.graph.graph describes it: all is checked before anything is allocated.

import { CELLS, GRAPH } from "studio/facts.js";
import { damaged } from "studio/runtime/errors.js";
import { RULES, type Settings, type Shape, SYMBOLS, isInts, need, sizeOf } from "studio/runtime/graph/rules.js";

export interface GraphInput {
  name: string;
  shape: Shape;
  ints: boolean;
}

/** An operation: the numbers of the values that it reads, the names of its tensors, and its settings. */
export interface GraphNode {
  op: string;
  name: string;
  inputs: number[];
  tensors: string[];
  settings: Settings;
}

/** A checked graph: the shape of each value, the number of each node's first result, and what nothing needs after it. */
export interface Graph {
  inputs: GraphInput[];
  nodes: GraphNode[];
  outputs: number[];
  shapes: Shape[];
  firsts: number[];
  ends: number[][];
}

export const isRecurrent = ({ op }: GraphNode) => op === "layer" || op === "cell";
export const statesOf = ({ settings }: GraphNode) => CELLS[settings.cell as keyof typeof CELLS].carried;
const resultsOf = (node: GraphNode) => (isRecurrent(node) ? statesOf(node).length + Number(node.op === "layer") : 1);

/** Whether a layer or convolution runs over time, so that a stream carries something for it. */
export const overTime = ({ shapes }: Graph, { op, inputs, settings }: GraphNode) =>
  (op === "layer" && shapes[inputs[0]][settings.batch_first ? 1 : 0] === "T") ||
  (op === "conv1d" && shapes[inputs[0]][2] === "T");

/** What messages call a node. */
export const labelOf = ({ op, name }: GraphNode) => (name ? `\`${name}\` (${op})` : op);

/** the shapes of those in the file */
type Tensors = Map<string, number[]>;

export function parseGraph(text: string, tensors: Tensors): Graph {
  try {
    need(typeof text === "string", "there is none");
    const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, "");
    const brackets = bare.split(/[[{]/).length - 1;
    const isLong = text.length > GRAPH.text || brackets > 64 + text.length / 8;
    need(!isLong, `it has ${text.length} characters and ${brackets} brackets, more than graphs need`);
    const data = JSON.parse(text);
    need(keysOf(data) === bare.split(":").length - 1, "a description repeats a name");
    need([data.inputs, data.nodes].every(Array.isArray), "its inputs or nodes are not a list");
    need(isInts(data.outputs), "its outputs are not a list of integers");
    for (const name of ["inputs", "nodes", "outputs"]) {
      const { length } = data[name];
      need(length <= GRAPH.nodes, `it has ${length} ${name}, at most ${GRAPH.nodes} are allowed`);
    }
    return checked(data.inputs.map(inputOf), data.nodes.map(nodeOf), data.outputs, tensors);
  } catch (error) {
    throw damaged(`a graph that is damaged: ${(error as Error).message}`, "one that hiddenstate wrote");
  }
}

/** The number of names in all objects of a JSON value, whose depth JSON.parse has limited. */
function keysOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const parts = Object.values(value);
  return parts.reduce((sum, part) => sum + keysOf(part), Array.isArray(value) ? 0 : parts.length);
}

function inputOf(input: any): GraphInput {
  const { name, shape, ints, ...more } = input;
  const isOne = typeof name === "string" && Array.isArray(shape) && typeof ints === "boolean";
  need(isOne && Object.keys(more).length === 0, `input ${String(name).slice(0, 60)} is not described as inputs are`);
  need(!shape.some((size: unknown) => String(size).includes("*")), `input ${name} joins axes of rows and steps`);
  return { name, shape: checkedShape(shape), ints };
}

function nodeOf({ op, name, inputs, tensors = [], ...settings }: any): GraphNode {
  const isNamed = isInts(inputs) && Array.isArray(tensors);
  const areTexts = isNamed && [op, name, ...tensors].every((text) => typeof text === "string");
  need(areTexts, "a node is not described as nodes are");
  return { op, name, inputs, tensors, settings };
}

function checked(inputs: GraphInput[], nodes: GraphNode[], outputs: number[], tensors: Tensors): Graph {
  need(Math.min(inputs.length, nodes.length, outputs.length) > 0, "it needs an input, a node and an output");
  const shapes: Shape[] = inputs.map(({ shape }) => shape);
  const ints = inputs.map((input) => input.ints);
  const firsts: number[] = [];
  const stored = new Set(nodes.flatMap((node) => node.tensors));
  const weights = [...stored].reduce((sum, name) => sum + sizeOf(tensors.get(name) ?? [0]), 0);
  const limit = GRAPH.work + GRAPH.work_per_byte * weights;
  let work = 4 * shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  nodes.forEach((node, place) => {
    try {
      const [results, areInts] = inferred(node, shapes, ints, tensors);
      firsts.push(shapes.length);
      shapes.push(...results.map(checkedShape));
      ints.push(...results.map(() => areInts));
      work += 4 * results.reduce((sum, shape) => sum + sizeOf(shape), scratchOf(node, shapes));
      const takes = `up to here a row and step take ${work} bytes of working memory`;
      need(work <= limit, `${takes}, at most ${limit} are allowed`);
    } catch (error) {
      throw new Error(`node ${place}, ${labelOf(node)}: ${(error as Error).message}`);
    }
  });
  const isValue = (value: number) => value >= 0 && value < shapes.length;
  need(outputs.every(isValue), `its outputs are not among its ${shapes.length} values`);
  const last = new Map<number, number>();
  nodes.forEach((node, place) => node.inputs.forEach((value) => last.set(value, place)));
  const ends: number[][] = nodes.map(() => []);
  for (const [value, place] of last) if (!outputs.includes(value)) ends[place].push(value);
  return { inputs, nodes, outputs, shapes, firsts, ends };
}

const FOR_INTEGERS = ["embedding", "reshape", "transpose", "slice", "concatenate", "last", "pad"];

/** The shapes of a node's results, and whether they are integers. */
function inferred(node: GraphNode, shapes: Shape[], ints: boolean[], tensors: Tensors): [Shape[], boolean] {
  need(Object.hasOwn(RULES, node.op), "there is no such operation");
  const { counts, settings = {}, shapes: rule } = RULES[node.op];
  const [fewest, most, fewestTensors, mostTensors] = counts;
  const isCount = (list: unknown[], from: number, to: number) => list.length >= from && list.length <= to;
  const fits = isCount(node.inputs, fewest, most) && isCount(node.tensors, fewestTensors, mostTensors);
  need(fits, "its inputs or tensors");
  const names = [Object.keys(node.settings).sort().join(), Object.keys(settings).sort().join()];
  need(names[0] === names[1], `its settings are ${names[0].slice(0, 200)}, expected ${names[1]}`);
  for (const [name, isSetting] of Object.entries(settings)) {
    need(isSetting(node.settings[name]), `its ${name} is ${JSON.stringify(node.settings[name]).slice(0, 40)}`);
  }
  const isEarlier = node.inputs.every((value) => value >= 0 && value < shapes.length);
  const read = `it reads values ${node.inputs.slice(0, 8)}`;
  need(isEarlier, `${read}, but there are ${shapes.length} before it: is it cyclic?`);
  const [readsInts, readsNumbers] = [true, false].map((kind) => node.inputs.some((value) => ints[value] === kind));
  need(!readsInts || !readsNumbers, "it reads both integers and numbers");
  need(!readsInts || FOR_INTEGERS.includes(node.op), "it reads integers, which only an embedding turns into numbers");
  need(readsInts || node.op !== "embedding", "an embedding reads integers");
  const stored = node.tensors.map((name) => {
    const shape = tensors.get(name);
    need(shape !== undefined, `there is no tensor ${name}`);
    return shape;
  });
  const inputs = node.inputs.map((value) => shapes[value]);
  return [rule(node.settings, inputs, stored), readsInts && node.op !== "embedding"];
}

function checkedShape(shape: Shape): Shape {
  const letters = shape.filter((size) => typeof size === "string").join("");
  const isOnce = letters.split("T").length <= 2 && letters.split("N").length <= 2;
  need(shape.length <= 8 && isOnce, `its shape is [${shape}]: more than 8 axes, or two axes of time or of rows`);
  const isSize = (size: number | string) =>
    typeof size === "string" ? SYMBOLS.includes(size) : Number.isInteger(size) && size >= 1 && size < GRAPH.size;
  need(shape.every(isSize), `its shape is [${shape}]`);
  return shape;
}

/** A convolution's padded input. */
function scratchOf({ op, inputs, settings }: GraphNode, shapes: Shape[]): number {
  const x = shapes[inputs[0]];
  return op === "conv1d" ? sizeOf(x.slice(0, 2)) * (sizeOf(x.slice(2)) + settings.padding[0] + settings.padding[1]) : 0;
}

/** Why a graph can't run step by step, or null. */
export function whyNoStream(graph: Graph): string | null {
  const { inputs, nodes, shapes, firsts } = graph;
  if (!inputs.some(({ shape }) => shape.includes("T"))) return "none of its inputs has a time axis of any length";
  const takesRows = inputs.some(({ shape }) => shape.includes("N"));
  const [final, constants] = [new Set<number>(), new Set<number>()]; // those complete only at the last step
  for (const [place, node] of nodes.entries()) {
    const { op, settings, inputs } = node;
    const results = Array.from({ length: resultsOf(node) }, (_, k) => firsts[place] + k);
    const x = shapes[inputs[0]];
    if (takesRows && overTime(graph, node) && !x.includes("N")) return `${labelOf(node)} runs over one row`;
    const isLayer = op === "layer" && overTime(graph, node);
    const axes: number[] = op === "softmax" ? [settings.axis] : op === "mean" || op === "maximum" ? settings.axes : [];
    if (axes.some((axis) => x[axis] === "T")) return `${labelOf(node)} needs all time steps at once`;
    if (isLayer && settings.bidirectional) return `${labelOf(node)} is bidirectional, so it also reads from the end`;
    if (isLayer && !inputs.slice(1).every((value) => constants.has(value))) {
      return `${labelOf(node)} takes its state from an argument`;
    }
    const readsFinal = inputs.some((value) => final.has(value));
    if (readsFinal && results.some((value) => shapes[value].some((size) => String(size).includes("T")))) {
      return `${labelOf(node)} reads what is known only after the last step`;
    }
    if (op === "constant") constants.add(results[0]);
    const ending = isLayer ? results.slice(1) : op === "last" || readsFinal ? results : [];
    for (const value of readsFinal ? results : ending) final.add(value);
  }
  return null;
}
