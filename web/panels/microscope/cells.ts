// The circuit of each kind of cell: its boxes, its operations, and the numbers between them.

import { type Places, GRU_PLACES, LSTM_PLACES, RNN_PLACES } from "studio/panels/microscope/layouts.js";
import type { Numbers, Operation } from "studio/panels/microscope/types.js";
import type { CellKind, CellLabel } from "studio/runtime/kinds.js";

/** a bar, from and to */
export type Spans = { filled: [number, number]; outlined?: [number, number] };

interface Circuit {
  places: Record<"wide" | "narrow", (width: number) => Places>;
  parts: Record<string, { gate: string; about: string }>; // of a gate's sum that have a box: its gate, and its equation
  operations: Record<string, Operation>;
  between: Record<string, string>; // names of the numbers between the operations
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
  spans: ({ from_x, from_h, sum, h }) => {
    const parts: Spans[] = [{ filled: [0, from_x] }, { filled: [from_x, from_x + from_h] }, { filled: [0, sum] }];
    return [...(Number.isFinite(from_h) ? parts : []), { filled: [0, h] }];
  },
};

const CIRCUITS: Record<CellLabel, Circuit> = { LSTM, GRU, RNN };

export const circuitFor = ({ label }: CellKind): Circuit => CIRCUITS[label];
