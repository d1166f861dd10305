// The kinds of cells: LSTM, GRU and plain RNN. The order of gates comes with each bundle, from Python.

import { CELLS, CELL_SETTINGS, TINY } from "studio/facts.js";
import { damaged } from "studio/runtime/errors.js";

export type CellName = keyof typeof CELLS;
/** Tables by name or label must have every kind, or they do not compile. */
export type CellLabel = (typeof CELLS)[CellName]["label"];

/** A kind of cell, like hiddenstate.cells.cell.Cell, from which all of it but `split` comes. */
export interface CellKind {
  name: CellName;
  label: CellLabel; // the name without the nonlinearity
  gates: readonly string[]; // in the order of the stacked weights
  states: readonly string[]; // in the order in which a step computes them; the last is the output
  carried: readonly string[]; // the states that go on to the next step
  memory: string; // the state that carries information from step to step
  candidate: string; // the gate whose value may be written to memory
  activations: Record<string, "sigmoid" | "tanh" | "relu">; // by gate
  scales: Record<string, string>; // by gate: the gate that multiplies the recurrent part of its pre-activation
  parts: Record<string, string>; // parts of pre-activations that can be edited, and their gates
  isAdditive: boolean; // whether memory is kept by addition
  /** how a step treats a unit's memory: memory = keep·memory_prev + written, and the output is show·memory */
  split: (values: Record<string, Float32Array>, at: number) => { keep: number; written: number; show: number };
}

/** of each kind, in order */
export type Letters = Record<string, { gates: readonly string[]; states: readonly string[] }>;

const secant = (c: number) => (Math.abs(c) < TINY ? 1 : Math.tanh(c) / c);
const SPLITS: Record<CellLabel, CellKind["split"]> = {
  LSTM: ({ i, f, g, o, c }, at) => ({ keep: f[at], written: i[at] * g[at], show: o[at] * secant(c[at]) }),
  GRU: ({ z, n }, at) => ({ keep: z[at], written: (1 - z[at]) * n[at], show: 1 }),
  RNN: () => ({ keep: 0, written: NaN, show: 1 }),
};

export const KINDS: Record<string, CellKind> = Object.fromEntries(
  Object.entries(CELLS).map(([name, cell]) => [name, { ...cell, split: SPLITS[cell.label] }]),
);

/** A kind of cell with its letters in the order of a bundle. */
export function kindNamed(name: unknown, letters: Letters): CellKind {
  if (typeof name !== "string" || !Object.hasOwn(KINDS, name) || !Object.hasOwn(letters ?? {}, name)) {
    throw damaged(`a cell ${JSON.stringify(name)}`, `one of ${Object.keys(KINDS).join(" ")}`);
  }
  const kind = KINDS[name];
  const { gates, states } = letters[name];
  sameLetters(gates, kind.gates, "gates");
  sameLetters(states, kind.states, "states");
  return { ...kind, gates, states };
}

/** The gates that are not states as well, as that of a plain RNN is. */
export const gatesApart = ({ gates, states }: CellKind): string[] => gates.filter((gate) => !states.includes(gate));

/** The name of the cell in a model's config; LSTM by default. */
export function cellIn(config: any): string {
  const setting = config?.cell ?? Object.keys(CELL_SETTINGS)[0];
  if (typeof setting === "string" && Object.hasOwn(CELL_SETTINGS, setting)) return CELL_SETTINGS[setting];
  const known = Object.keys(CELL_SETTINGS).join(" ");
  throw damaged(`the model's config has cell = ${JSON.stringify(setting)}`, `one of ${known}`);
}

export const configKind = (config: any, letters: Letters): CellKind => kindNamed(cellIn(config), letters);

/** Checks that the bundle lists exactly the letters of the equations, in any order. */
function sameLetters(letters: unknown, expected: readonly string[], what: string) {
  if (!Array.isArray(letters) || [...letters].sort().join() !== [...expected].sort().join()) {
    throw damaged(`the ${what} ${JSON.stringify(letters)}`, `${[...expected].sort().join(" ")}, in some order`);
  }
}

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
export const ACTIVATIONS: Record<string, (x: number) => number> = {
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

export const activated = ({ activations }: CellKind, gate: string, pre: number): number =>
  ACTIVATIONS[activations[gate]](pre);
