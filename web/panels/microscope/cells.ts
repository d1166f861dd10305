// The circuit of each kind of cell: its boxes, its operations, and the numbers between them.

import { type Places, GRU_PLACES, LSTM_PLACES, RNN_PLACES } from "studio/panels/microscope/layouts.js";
import type { Numbers, Operation } from "studio/panels/microscope/tween.js";
import type { CellKind } from "studio/runtime/kinds.js";

/** a bar, from and to */
export type Spans = { filled: [number, number]; outlined?: [number, number] };

interface Circuit {
  places: Record<"wide" | "narrow", (width: number) => Places>;
  parts: Record<string, { gate: string; about: string }>; // of a gate's sum that have a box: its gate, and its equation
  operations: Record<string, Operation>;
  between: Record<string, string>; // names of the numbers between the operations
  times: Record<string, [number, number]>; // when each number moves, as fractions of the whole time
  spans: (numbers: Numbers) => Spans[]; // the bars beside the equations, in their order
}

const LSTM: Circuit = {
  places: LSTM_PLACES,
  parts: {},
  operations: {
    keep: { symbol: "×", reads: ["c_prev", "f"], gives: "kept" },
    write: { symbol: "×", reads: ["i", "g"], gives: "wrote" },
    add: { symbol: "+", reads: ["kept", "wrote"], gives: "c" },
    tanh: { symbol: "tanh", reads: ["c"], gives: "tanh" },
    show: { symbol: "×", reads: ["tanh", "o"], gives: "h" },
  },
  between: { kept: "kept", wrote: "written", tanh: "tanh(c)" },
  times: {
    ...{ c_prev: [0, 0.3], f: [0, 0.3], i: [0.05, 0.35], g: [0.05, 0.35], kept: [0.3, 0.58], wrote: [0.35, 0.58] },
    ...{ c: [0.58, 0.78], tanh: [0.78, 0.88], o: [0.55, 0.88], h: [0.88, 1], m: [0.88, 1] },
  },
  spans: ({ kept, wrote, c, c_prev, g, tanh, h }) => [
    { filled: [0, kept], outlined: [0, c_prev] },
    { filled: [kept, kept + wrote], outlined: [kept, kept + g] },
    { filled: [0, c] },
    { filled: [0, h], outlined: [0, tanh] },
  ],
};

const GRU: Circuit = {
  places: GRU_PLACES,
  parts: { n_h: { gate: "n", about: "W_hn·h_prev + b_hn" } },
  operations: {
    reset: { symbol: "×", reads: ["n_h", "r"], gives: "n_rh" },
    keep: { symbol: "×", reads: ["h_prev", "z"], gives: "kept" },
    minus: { symbol: "1 -", reads: ["z"], gives: "write" },
    write: { symbol: "×", reads: ["write", "n"], gives: "wrote" },
    add: { symbol: "+", reads: ["kept", "wrote"], gives: "h" },
  },
  between: { kept: "kept", write: "1-z", wrote: "written", n_rh: "r·n_h" },
  times: {
    ...{ r: [0, 0.2], n_h: [0, 0.2], n_rh: [0.2, 0.4], n: [0.4, 0.6], z: [0.1, 0.35], write: [0.35, 0.6] },
    ...{ h_prev: [0.1, 0.35], kept: [0.35, 0.8], wrote: [0.6, 0.8], h: [0.8, 1] },
  },
  spans: ({ kept, wrote, h, h_prev, n, n_h, n_rh }) => [
    ...(Number.isFinite(n_h) ? [{ filled: [0, n_rh], outlined: [0, n_h] } as Spans] : []),
    { filled: [0, kept], outlined: [0, h_prev] },
    { filled: [kept, kept + wrote], outlined: [kept, kept + n] },
    { filled: [0, h] },
  ],
};

const RNN: Circuit = {
  places: RNN_PLACES,
  parts: { from_x: { gate: "h", about: "W_ih·x + b_ih" }, from_h: { gate: "h", about: "W_hh·h_prev + b_hh" } },
  operations: {
    add: { symbol: "+", reads: ["from_h", "from_x"], gives: "sum" },
    squash: { symbol: "", reads: ["sum"], gives: "h" },
  },
  between: { sum: "sum" },
  times: { from_x: [0, 0.4], from_h: [0, 0.4], sum: [0.4, 0.7], h: [0.7, 1] },
  spans: ({ from_x, from_h, sum, h }) => {
    const parts: Spans[] = [{ filled: [0, from_x] }, { filled: [from_x, from_x + from_h] }, { filled: [0, sum] }];
    return [...(Number.isFinite(from_h) ? parts : []), { filled: [0, h] }];
  },
};

const CIRCUITS: Record<string, Circuit> = { LSTM, GRU, RNN };

export const circuitFor = ({ label }: CellKind): Circuit => CIRCUITS[label];
