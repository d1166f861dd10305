// The kinds of cells, as described in hiddenstate.cells. The order of gates comes with each bundle, from Python.

import { damaged } from "studio/runtime/errors.js";

/** A kind of cell, like hiddenstate.cells.cell.Cell. */
export interface CellKind {
  name: string; // "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"
  label: string; // "LSTM", "GRU" or "RNN"
  gates: readonly string[]; // in the order of the stacked weights
  states: readonly string[]; // in the order in which a step computes them; the last is the output
  carried: readonly string[]; // the states that go on to the next step
  memory: string; // the state that carries information from step to step
  candidate: string; // the gate whose value may be written to memory
  activations: Record<string, "sigmoid" | "tanh" | "relu">; // by gate
  parts: Record<string, string>; // parts of pre-activations that can be edited, and their gates
  isAdditive: boolean; // whether memory is kept by addition
  /** how a step treats a unit's memory: memory = keep·memory_prev + written, and the output is show·memory */
  split: (values: Record<string, Float32Array>, at: number) => { keep: number; written: number; show: number };
}

type Kind = Omit<CellKind, "gates" | "states">;
/** of each kind, in order */
export type Letters = Record<string, { gates: readonly string[]; states: readonly string[] }>;

const TINY = 1e-8; // for smaller c, tanh(c)/c is 1 to the last digit

const RNN: Kind = {
  ...{ name: "RNN_TANH", label: "RNN", memory: "h", candidate: "h", carried: ["h"], parts: {}, isAdditive: false },
  activations: { h: "tanh" },
  split: () => ({ keep: 0, written: NaN, show: 1 }),
};

export const KINDS: Record<string, Kind> = {
  LSTM: {
    ...{ name: "LSTM", label: "LSTM", memory: "c", candidate: "g", carried: ["h", "c"], parts: {}, isAdditive: true },
    activations: { i: "sigmoid", f: "sigmoid", g: "tanh", o: "sigmoid" },
    split: ({ i, f, g, o, c }, at) => ({ keep: f[at], written: i[at] * g[at], show: o[at] * secant(c[at]) }),
  },
  GRU: {
    ...{ name: "GRU", label: "GRU", memory: "h", candidate: "n", carried: ["h"], isAdditive: true },
    activations: { r: "sigmoid", z: "sigmoid", n: "tanh" },
    parts: { n_h: "n", n_rh: "n" },
    split: ({ z, n }, at) => ({ keep: z[at], written: (1 - z[at]) * n[at], show: 1 }),
  },
  RNN_TANH: RNN,
  RNN_RELU: { ...RNN, name: "RNN_RELU", activations: { h: "relu" } },
};

/** A kind of cell with its letters in the order of a bundle. */
export function kindNamed(name: unknown, letters: Letters): CellKind {
  if (typeof name !== "string" || !Object.hasOwn(KINDS, name) || !Object.hasOwn(letters ?? {}, name)) {
    throw damaged(`a cell ${JSON.stringify(name)}`, `one of ${Object.keys(KINDS).join(" ")}`);
  }
  const kind = KINDS[name];
  const { gates, states } = letters[name];
  sameLetters(gates, Object.keys(kind.activations), "gates");
  sameLetters(states, kind.carried, "states");
  return { ...kind, gates, states };
}

/** kinds by the values of the setting in models' configs */
const SETTINGS: Record<string, string> = { lstm: "LSTM", gru: "GRU", rnn: "RNN_TANH", rnn_relu: "RNN_RELU" };

/** The name of the cell in a model's config; LSTM by default. */
export function cellIn(config: any): string {
  const setting = config?.cell ?? "lstm";
  if (typeof setting === "string" && Object.hasOwn(SETTINGS, setting)) return SETTINGS[setting];
  throw damaged(
    `the model's config has cell = ${JSON.stringify(setting)}`,
    `one of ${Object.keys(SETTINGS).join(" ")}`,
  );
}

/** @param config of a model */
export function configKind(config: any, letters: Letters): CellKind {
  return kindNamed(cellIn(config), letters);
}

/** Checks that the bundle lists exactly the letters of the equations, in any order. */
function sameLetters(letters: unknown, expected: readonly string[], what: string) {
  if (!Array.isArray(letters) || [...letters].sort().join() !== [...expected].sort().join()) {
    throw damaged(`the ${what} ${JSON.stringify(letters)}`, `${[...expected].sort().join(" ")}, in some order`);
  }
}

const FUNCTIONS: Record<string, (pre: number) => number> = {
  sigmoid: (pre) => 1 / (1 + Math.exp(-pre)),
  tanh: Math.tanh,
  relu: (pre) => Math.max(0, pre),
};

/** Applies a gate's activation function. */
export function activated({ activations }: Kind, gate: string, pre: number): number {
  return FUNCTIONS[activations[gate]](pre);
}

function secant(c: number) {
  return Math.abs(c) < TINY ? 1 : Math.tanh(c) / c;
}
