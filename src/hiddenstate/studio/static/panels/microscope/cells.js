// The circuit of each kind of cell: its boxes, its operations, and the numbers between them.

import { gruLayout } from "studio/panels/microscope/gru-layout.js";
import { lstmLayout } from "studio/panels/microscope/lstm-layout.js";
import { rnnLayout } from "studio/panels/microscope/rnn-layout.js";

/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/panels/microscope/tween.js").Numbers} Numbers */
/** @typedef {import("studio/panels/microscope/types.js").Layout} Layout */

/** @typedef {{gate: string, about: string}} Part a part of a gate's sum: the gate, and its equation */

/**
 * @typedef {object} Spans
 * @property {[number, number]} filled from and to
 * @property {[number, number] | null} outlined
 */

/**
 * @typedef {object} Circuit
 * @property {(width: number, reverse: boolean) => Layout} layout
 * @property {string[]} gates that have a box
 * @property {Record<string, Part>} parts that have a box
 * @property {Record<string, string>} symbols of the operations
 * @property {Record<string, string>} between names of the numbers between the operations
 * @property {Record<string, [number, number]>} times when each number moves, as fractions of the whole time
 * @property {(numbers: Numbers) => Spans[]} spans the bars beside the equations, in their order
 */

/** @type {Circuit} */
const LSTM = {
  layout: lstmLayout,
  gates: ["i", "f", "g", "o"],
  parts: {},
  symbols: { keep: "×", write: "×", add: "+", tanh: "tanh", show: "×" },
  between: { kept: "kept", wrote: "written", tanh: "tanh(c)" },
  times: {
    ...{ c_prev: [0, 0.3], f: [0, 0.3], i: [0.05, 0.35], g: [0.05, 0.35], kept: [0.3, 0.58], wrote: [0.35, 0.58] },
    ...{ c: [0.58, 0.78], tanh: [0.78, 0.88], o: [0.55, 0.88], h: [0.88, 1], m: [0.88, 1] },
  },
  spans: ({ kept, wrote, c, c_prev, g, tanh, h }) => [
    { filled: [0, kept], outlined: [0, c_prev] },
    { filled: [kept, kept + wrote], outlined: [kept, kept + g] },
    { filled: [0, c], outlined: null },
    { filled: [0, h], outlined: [0, tanh] },
  ],
};

/** @type {Circuit} */
const GRU = {
  layout: gruLayout,
  gates: ["r", "z", "n"],
  parts: { n_h: { gate: "n", about: "W_hn·h_prev + b_hn" } },
  symbols: { reset: "×", keep: "×", minus: "1 -", write: "×", add: "+" },
  between: { kept: "kept", write: "1-z", wrote: "written", n_rh: "r·n_h" },
  times: {
    ...{ r: [0, 0.2], n_h: [0, 0.2], n_rh: [0.2, 0.4], n: [0.4, 0.6], z: [0.1, 0.35], write: [0.35, 0.6] },
    ...{ h_prev: [0.1, 0.35], kept: [0.35, 0.8], wrote: [0.6, 0.8], h: [0.8, 1] },
  },
  spans: ({ kept, wrote, h, h_prev, n, n_h, n_rh }) => [
    ...(Number.isFinite(n_h) ? [span([0, n_rh], [0, n_h])] : []),
    span([0, kept], [0, h_prev]),
    span([kept, kept + wrote], [kept, kept + n]),
    span([0, h], null),
  ],
};

/** @type {Circuit} */
const RNN = {
  layout: rnnLayout,
  gates: [],
  parts: { from_x: { gate: "h", about: "W_ih·x + b_ih" }, from_h: { gate: "h", about: "W_hh·h_prev + b_hh" } },
  symbols: { add: "+", squash: "" },
  between: { sum: "sum" },
  times: { from_x: [0, 0.4], from_h: [0, 0.4], sum: [0.4, 0.7], h: [0.7, 1] },
  spans: ({ from_x, from_h, sum, h }) => [
    ...(Number.isFinite(from_h)
      ? [span([0, from_x], null), span([from_x, from_x + from_h], null), span([0, sum], null)]
      : []),
    span([0, h], null),
  ],
};

/**
 * @param {[number, number]} filled
 * @param {[number, number] | null} outlined
 * @returns {Spans}
 */
function span(filled, outlined) {
  return { filled, outlined };
}

/** @type {Record<string, Circuit>} */
const CIRCUITS = { LSTM, GRU, RNN };

/**
 * @param {CellKind} cell
 * @returns {Circuit}
 */
export function circuitOf({ label, activations }) {
  const found = CIRCUITS[label];
  if (!("squash" in found.symbols)) return found;
  return { ...found, symbols: { ...found.symbols, squash: activations.h } };
}
