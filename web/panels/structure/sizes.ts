// The sizes of a layer, which determine every name, shape and count, as hs.structure_of does in Python.

import type { CellKind } from "studio/runtime/kinds.js";
import { parameterShapes, suffixOf, tracksOf } from "studio/runtime/lstm.js";
import type { Model, TrackInfo } from "studio/types.js";

export type Sizes = import("studio/runtime/lstm.js").Sizes & { cell: CellKind };

/** one gate's part of a stacked parameter, or a projection */
export interface Weight {
  address: string; // "l0.W_if"
  name: string; // "W_if"
  gate: string | null;
  parameter: string; // "weight_ih_l0"
  rows: [number, number]; // of the parameter
  shape: number[];
  count: number;
}

type Parameter = { name: string; shape: number[]; count: number };

const times = (shape: number[]) => shape.reduce((product, size) => product * size, 1);

export function modelSizes({ cell, tracks, hasWeights, weights }: Model): Sizes {
  const [{ inputSize, units, outputs, name }] = tracks;
  return {
    ...{ cell, inputSize, hiddenSize: units },
    numLayers: 1 + Math.max(...tracks.map(({ layer }) => layer)),
    bidirectional: tracks.some(({ reverse }) => reverse),
    projSize: outputs === units ? 0 : outputs,
    bias: !hasWeights || weights(name).bias_ih !== null,
  };
}

/** P: the size of the hidden state. */
export const outputSize = ({ projSize, hiddenSize }: Sizes) => projSize || hiddenSize;

/** D: 2 if there is a reverse direction, otherwise 1. */
export const directions = ({ bidirectional }: Sizes) => (bidirectional ? 2 : 1);

/** torch's parameters of one layer and direction, in torch's order. */
export function parameters(sizes: Sizes, track: TrackInfo): Parameter[] {
  const shapes = parameterShapes(sizes, track, Object.keys(sizes.cell.activations).length * track.units);
  return shapes.map(([stem, shape]) => ({ name: stem + suffixOf(track), shape, count: times(shape) }));
}

export function parameterCount(sizes: Sizes): number {
  const all = tracksOf(sizes).flatMap((track) => parameters(sizes, track));
  return all.reduce((sum, { count }) => sum + count, 0);
}

/** The names of stacked weights, completed by a gate's letter. */
export const SHORT: Record<string, string> = { weight_ih: "W_i", weight_hh: "W_h", bias_ih: "b_i", bias_hh: "b_h" };

/** The weights by gate: W_ii, W_if, ... and, with a projection, W_hr; `gates`: in stacking order. */
export const gateWeights = (sizes: Sizes, track: TrackInfo, gates: readonly string[]): Weight[] =>
  parameters(sizes, track).flatMap(({ name: parameter, shape: [rows, ...columns] }) => {
    const short = SHORT[parameter.slice(0, parameter.indexOf("_l"))];
    const weight = (name: string, gate: string | null, first: number, count: number): Weight => ({
      ...{ address: `${track.name}.${name}`, name, gate, parameter, rows: [first, first + count] },
      ...{ shape: [count, ...columns], count: times([count, ...columns]) },
    });
    if (!short) return [weight("W_hr", null, 0, rows)];
    const H = rows / gates.length;
    return gates.map((gate, k) => weight(short + gate, gate, k * H, H));
  });

type Flow = { name: string; letters: string[]; shape: number[]; meaning: string };

export function flows(sizes: Sizes, { T, N, batchFirst }: { T: number; N: number; batchFirst: boolean }): Flow[] {
  const [D, P] = [directions(sizes), outputSize(sizes)],
    states = sizes.numLayers * D;
  const p = sizes.projSize ? "P" : "H";
  const isLstm = sizes.cell.memory === "c";
  const meaning = "hidden state of the last layer at every step";
  const final = "of every layer and direction, after the last step read";
  const [first, second] = batchFirst ? ["N", "T"] : ["T", "N"],
    lead = batchFirst ? [N, T] : [T, N];
  const state = (name: string, letter: string, width: number, meaning: string) => {
    return { name, letters: ["L·D", "N", letter], shape: [states, N, width], meaning };
  };
  return [
    { name: "input", letters: [first, second, "C"], shape: [...lead, sizes.inputSize], meaning: "input sequences" },
    state("h0", p, P, "initial hidden state, before the first step read"),
    ...(isLstm ? [state("c0", "H", sizes.hiddenSize, "initial cell state, before the first step read")] : []),
    { name: "out", letters: [first, second, `D·${p}`], shape: [...lead, D * P], meaning },
    state("h_n", p, P, `final hidden state ${final}`),
    ...(isLstm ? [state("c_n", "H", sizes.hiddenSize, `final cell state ${final}`)] : []),
  ];
}

export function pythonCall(sizes: Sizes, batchFirst: boolean): string {
  const { cell, inputSize, hiddenSize, numLayers, bias, bidirectional, projSize } = sizes;
  const options = [
    numLayers > 1 && `num_layers=${numLayers}`,
    !bias && "bias=False",
    batchFirst && "batch_first=True",
    bidirectional && "bidirectional=True",
    projSize > 0 && `proj_size=${projSize}`,
    cell.activations.h === "relu" && 'nonlinearity="relu"',
  ].filter(Boolean);
  return `hs.${cell.label}(${[inputSize, hiddenSize, ...options].join(", ")})`;
}

/** Why such a layer is impossible, in the same words as in Python; "" if it is possible. */
export function refusal({ cell, inputSize, hiddenSize, numLayers, projSize }: Sizes): string {
  const sizes = { input_size: inputSize, hidden_size: hiddenSize, num_layers: numLayers };
  for (const [name, size] of Object.entries(sizes)) {
    if (!(Number.isInteger(size) && size > 0)) return `${name} must be a whole number greater than zero, got ${size}`;
  }
  if (!(Number.isInteger(projSize) && projSize >= 0))
    return `proj_size must be a whole number, or zero for no projection, got ${projSize}`;
  if (projSize > 0 && cell.memory === "h")
    return `proj_size argument is only supported for LSTM, not RNN or GRU, got ${projSize}`;
  return projSize < hiddenSize ? "" : `proj_size has to be smaller than hidden_size, got ${projSize} and ${hiddenSize}`;
}

export type Setup = Sizes & { T: number; N: number; batchFirst: boolean };
/** the settings; the cell is that of the model shown */
type Numbers = Omit<Setup, "cell">;

export const LESSON: Numbers = {
  ...{ inputSize: 4, hiddenSize: 3, numLayers: 1, bidirectional: false, bias: true, projSize: 0 },
  ...{ T: 5, N: 1, batchFirst: false },
};

const KEYS = Object.keys(LESSON) as (keyof Numbers)[];

/** The sandbox's settings from their short form in the page's address, "4,3,1,0,1,0,5,1,0"; "" for the lesson's. */
export function readSetup(text: string): Numbers {
  if (text === "") return LESSON;
  const values = text.split(",").map(Number);
  const settings = KEYS.map((key, k) => [key, typeof LESSON[key] === "boolean" ? values[k] > 0 : values[k]]);
  return Object.fromEntries(settings) as Numbers;
}

export const writeSetup = (setup: Numbers): string => KEYS.map((key) => Number(setup[key])).join();
