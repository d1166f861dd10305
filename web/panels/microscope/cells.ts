// The circuit of each kind of cell: its boxes, its operations, and the numbers between them.

import { gruLayout } from "studio/panels/microscope/gru-layout.js";
import { lstmLayout } from "studio/panels/microscope/lstm-layout.js";
import { rnnLayout } from "studio/panels/microscope/rnn-layout.js";
import type { Layout, Numbers } from "studio/panels/microscope/types.js";
import type { CellKind } from "studio/runtime/kinds.js";

/** a part of a gate's sum: the gate, and its equation */
type Part = { gate: string; about: string };

export interface Spans {
  filled: [number, number]; // from and to
  outlined: [number, number] | null;
}

interface Circuit {
  layout: (width: number, reverse: boolean) => Layout;
  parts: Record<string, Part>; // that have a box
  symbols: Record<string, string>; // of the operations
  between: Record<string, string>; // names of the numbers between the operations
  times: Record<string, [number, number]>; // when each number moves, as fractions of the whole time
  spans: (numbers: Numbers) => Spans[]; // the bars beside the equations, in their order
}

const LSTM: Circuit = {
  layout: lstmLayout,
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

const GRU: Circuit = {
  layout: gruLayout,
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

const RNN: Circuit = {
  layout: rnnLayout,
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

function span(filled: [number, number], outlined: [number, number] | null): Spans {
  return { filled, outlined };
}

const CIRCUITS: Record<string, Circuit> = { LSTM, GRU, RNN };

export function circuitFor({ label, activations }: CellKind): Circuit {
  const circuit = CIRCUITS[label];
  if (!("squash" in circuit.symbols)) return circuit;
  return { ...circuit, symbols: { ...circuit.symbols, squash: activations.h } };
}
