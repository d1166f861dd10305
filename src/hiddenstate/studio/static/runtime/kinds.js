// The kinds of cells, as described in hiddenstate.cells. The order of gates comes with each bundle, from Python.

import { damaged } from "studio/runtime/errors.js";

/**
 * A kind of cell, like hiddenstate.cells.cell.Cell.
 * @typedef {object} CellKind
 * @property {string} name "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"
 * @property {string} label "LSTM", "GRU" or "RNN"
 * @property {readonly string[]} gates in the order of the stacked weights
 * @property {readonly string[]} states in the order in which a step computes them; the last is the output
 * @property {readonly string[]} carried the states that go on to the next step
 * @property {string} memory the state that carries information from step to step
 * @property {string} candidate the gate whose value may be written to memory
 * @property {Record<string, "sigmoid" | "tanh" | "relu">} activations by gate
 * @property {Record<string, string>} parts parts of pre-activations that can be edited, and their gates
 * @property {boolean} isAdditive whether memory is kept by addition
 * @property {(values: Record<string, Float32Array>, at: number) => {keep: number, written: number, show: number}} split how a
 *   step treats a unit's memory: memory = keep·memory_prev + written, and the output is show·memory
 */

/** @typedef {Omit<CellKind, "gates" | "states">} Kind */
/** @typedef {Record<string, {gates: readonly string[], states: readonly string[]}>} Letters of each kind, in order */

const TINY = 1e-8; // for smaller c, tanh(c)/c is 1 to the last digit

/** @type {Kind} */
const RNN = {
  ...{ name: "RNN_TANH", label: "RNN", memory: "h", candidate: "h", carried: ["h"], parts: {}, isAdditive: false },
  activations: { h: "tanh" },
  split: () => ({ keep: 0, written: NaN, show: 1 }),
};

/** @type {Record<string, Kind>} */
export const KINDS = {
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

/**
 * A kind of cell with its letters in the order of a bundle.
 * @param {unknown} name
 * @param {Letters} letters
 * @returns {CellKind}
 */
export function kindNamed(name, letters) {
  if (typeof name !== "string" || !Object.hasOwn(KINDS, name) || !Object.hasOwn(letters ?? {}, name)) {
    throw damaged(`a cell ${JSON.stringify(name)}`, `one of ${Object.keys(KINDS).join(" ")}`);
  }
  const kind = KINDS[name];
  const { gates, states } = letters[name];
  sameLetters(gates, Object.keys(kind.activations), "gates");
  sameLetters(states, kind.carried, "states");
  return { ...kind, gates, states };
}

/** @type {Record<string, string>} kinds by the values of the setting in models' configs */
const SETTINGS = { lstm: "LSTM", gru: "GRU", rnn: "RNN_TANH", rnn_relu: "RNN_RELU" };

/**
 * The name of the cell in a model's config; LSTM by default.
 * @param {any} config
 * @returns {string}
 */
export function cellIn(config) {
  const setting = config?.cell ?? "lstm";
  if (typeof setting === "string" && Object.hasOwn(SETTINGS, setting)) return SETTINGS[setting];
  throw damaged(`the model's config has cell = ${JSON.stringify(setting)}`, `one of ${Object.keys(SETTINGS).join(" ")}`);
}

/**
 * @param {any} config of a model
 * @param {Letters} letters
 * @returns {CellKind}
 */
export function kindOf(config, letters) {
  return kindNamed(cellIn(config), letters);
}

/**
 * Checks that the bundle lists exactly the letters of the equations, in any order.
 * @param {unknown} letters
 * @param {readonly string[]} expected
 * @param {string} what
 */
function sameLetters(letters, expected, what) {
  if (!Array.isArray(letters) || [...letters].sort().join() !== [...expected].sort().join()) {
    throw damaged(`the ${what} ${JSON.stringify(letters)}`, `${[...expected].sort().join(" ")}, in some order`);
  }
}

/** @type {Record<string, (pre: number) => number>} */
const FUNCTIONS = {
  sigmoid: (pre) => 1 / (1 + Math.exp(-pre)),
  tanh: Math.tanh,
  relu: (pre) => Math.max(0, pre),
};

/**
 * Applies a gate's activation function.
 * @param {Kind} kind
 * @param {string} gate
 * @param {number} pre
 * @returns {number}
 */
export function activated({ activations }, gate, pre) {
  return FUNCTIONS[activations[gate]](pre);
}

/** @param {number} c */
function secant(c) {
  return Math.abs(c) < TINY ? 1 : Math.tanh(c) / c;
}
