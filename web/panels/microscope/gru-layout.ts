// The layout of a GRU's circuit. Time runs to the right on a wide panel, and downwards on a narrow one.

import {
  around,
  busesTo,
  GATE_HEIGHT,
  LINE,
  MIDDLE,
  oriented,
  STATE,
  busesBeside,
  COLUMN,
  gateBeside,
} from "studio/panels/microscope/layout.js";
import type { Layout } from "studio/panels/microscope/types.js";

const GAP = 12;
const GATES = 190;
const PART = 60; // height of n_h's box
const BUSES = GATES + GATE_HEIGHT / 2;

/** The layout for a width, mirrored for the reverse direction. */
export const gruLayout = oriented(landscape, portrait);

function landscape(width: number): Layout {
  const size = { width: (width - 3 * GAP) / 4, height: GATE_HEIGHT };
  const [z, n, hidden, r] = [0, 1, 2, 3].map((k) => size.width / 2 + k * (size.width + GAP));
  const side = size.width / 2;
  const [keep, write, back] = [z + side - 20, n - side + 60, n + side - 26]; // x positions of the lines out of z and n, and into n
  const top = GATES - GATE_HEIGHT / 2;
  const nodes = {
    keep: { x: keep, y: LINE },
    minus: { x: (keep + write) / 2 - 4, y: MIDDLE },
    write: { x: write, y: MIDDLE },
    add: { x: write, y: LINE },
    reset: { x: hidden, y: MIDDLE },
  };
  const buses = busesTo(BUSES, [z, n, r], [z, hidden, r]);
  const [first, last] = [STATE.width / 2, width - STATE.width / 2];
  return {
    width,
    height: buses.bottom,
    nodes,
    boxes: {
      ...Object.fromEntries(Object.entries({ z, n, r }).map(([gate, x]) => [gate, around({ x, y: GATES }, size)])),
      n_h: around({ x: hidden, y: BUSES - PART / 2 }, { width: size.width, height: PART }),
      h_prev: around({ x: first, y: LINE }, STATE),
      h: around({ x: last, y: LINE }, STATE),
      x: buses.box,
    },
    labels: {
      kept: { at: { x: (keep + write) / 2, y: LINE + 24 }, anchor: "middle" },
      write: { at: { x: nodes.minus.x + 2, y: MIDDLE - 26 }, anchor: "middle" },
      wrote: { at: { x: write + 14, y: (LINE + MIDDLE) / 2 }, anchor: "start" },
      n_rh: { at: { x: (back + hidden) / 2 + 2, y: MIDDLE - 26 }, anchor: "middle" },
    },
    wires: [
      { name: "h_prev", points: [{ x: STATE.width, y: LINE }, nodes.keep] },
      { name: "z", points: [{ x: keep, y: top }, nodes.keep] },
      { name: "z", points: [{ x: keep, y: MIDDLE }, nodes.minus] },
      { name: "write", points: [nodes.minus, nodes.write] },
      { name: "kept", points: [nodes.keep, nodes.add] },
      { name: "n_h", points: [{ x: hidden, y: BUSES - PART }, nodes.reset] },
      { name: "r", points: [{ x: r, y: top }, { x: r, y: MIDDLE }, nodes.reset] },
      { name: "n_rh", points: [nodes.reset, { x: back, y: MIDDLE }, { x: back, y: top }] },
      { name: "n", points: [{ x: write, y: top }, nodes.write] },
      { name: "wrote", points: [nodes.write, nodes.add] },
      { name: "h", points: [nodes.add, { x: last - STATE.width / 2, y: LINE }] },
    ],
    buses: buses.lines,
  };
}

const TURN = 128; // x of the operations beside the gates
const ROWS = { z: 104, n: 236, n_h: 344, r: 434 }; // y of each box's middle
const WRITE = ROWS.n - 22;
const BACK = ROWS.n + 24; // y where r·n_h enters n
const H_TOP = 352;

function portrait(width: number): Layout {
  const { line: x, boxes: left, state } = COLUMN;
  const nodes = {
    keep: { x, y: ROWS.z },
    minus: { x: TURN, y: ROWS.z + 56 },
    write: { x: TURN, y: WRITE },
    add: { x, y: WRITE },
    reset: { x: TURN, y: ROWS.n_h },
  };
  const { z, n, n_h, r } = ROWS;
  return {
    width,
    height: ROWS.r + GATE_HEIGHT / 2 + 4,
    nodes,
    boxes: {
      z: gateBeside(z, width),
      n: gateBeside(n, width),
      n_h: gateBeside(n_h, width, PART),
      r: gateBeside(r, width),
      h_prev: { x: 0, y: 0, ...state },
      h: { x: 0, y: H_TOP, ...state },
      x: { x: left, y: 0, width: width - left, height: 50 },
    },
    labels: {
      kept: { at: { x: x + 14, y: (z + WRITE) / 2 }, anchor: "start" },
      write: { at: { x: TURN + 20, y: z + 58 }, anchor: "start" },
      wrote: { at: { x: (x + TURN) / 2, y: WRITE + 30 }, anchor: "middle" },
      n_rh: { at: { x: TURN - 14, y: BACK + 40 }, anchor: "end" },
    },
    wires: [
      { name: "h_prev", points: [{ x, y: state.height }, nodes.keep] },
      { name: "z", points: [{ x: left, y: z }, nodes.keep] },
      { name: "z", points: [{ x: TURN, y: z }, nodes.minus] },
      { name: "write", points: [nodes.minus, nodes.write] },
      { name: "kept", points: [nodes.keep, nodes.add] },
      { name: "n_h", points: [{ x: left, y: n_h }, nodes.reset] },
      { name: "r", points: [{ x: left, y: r }, { x: TURN, y: r }, nodes.reset] },
      { name: "n_rh", points: [nodes.reset, { x: TURN, y: BACK }, { x: left, y: BACK }] },
      { name: "n", points: [{ x: left, y: WRITE }, nodes.write] },
      { name: "wrote", points: [nodes.write, nodes.add] },
      { name: "h", points: [nodes.add, { x, y: H_TOP }] },
    ],
    buses: busesBeside(width, [z, n, r], [z, n_h, r]),
  };
}
