// The layout of an LSTM's circuit. Time runs to the right on a wide panel, and downwards on a narrow one.

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
import type { Label, Layout, Point, Wire } from "studio/panels/microscope/types.js";
import type { Box } from "studio/ui/stage.js";

const GAP = 12;
const GATES = 190;
const BUSES = GATES + GATE_HEIGHT / 2;

/** The layout for a width, mirrored for the reverse direction. */
export const lstmLayout = oriented(landscape, portrait);

/** an x for each gate */
type Columns = { f: number; i: number; g: number; o: number };

function landscape(width: number): Layout {
  const gate = { width: (width - 3 * GAP) / 4, height: GATE_HEIGHT };
  const [f, i, g, o] = [0, 1, 2, 3].map((k) => gate.width / 2 + k * (gate.width + GAP));
  const side = gate.width / 2; // the wires leave the gates towards the middle of the picture
  const wires = { f: f + side - 16, i: i + side - 26, g: g - side + 26, o: o - side + 20 };
  const nodes = nodesAt(wires);
  const gates = Object.entries({ f, i, g, o }).map(([letter, x]) => [letter, around({ x, y: GATES }, gate)]);
  const buses = busesTo(BUSES, [f, i, g, o], [f, i, g, o]);
  const boxes = {
    ...Object.fromEntries(gates),
    ...states(width),
    x: buses.box,
  };
  return {
    width,
    height: buses.bottom,
    boxes,
    nodes,
    labels: labelsAt(nodes),
    wires: wiresBetween(wires, nodes, boxes),
    buses: buses.lines,
  };
}

function states(width: number): Record<string, Box> {
  const [first, last] = [STATE.width / 2, width - STATE.width / 2];
  return {
    c_prev: around({ x: first, y: LINE }, STATE),
    c: around({ x: last, y: LINE }, STATE),
    h: around({ x: last, y: MIDDLE }, STATE),
  };
}

function nodesAt({ f, i, g, o }: Columns): Record<string, Point> {
  const written = (i + g) / 2;
  return {
    keep: { x: f, y: LINE },
    write: { x: written, y: MIDDLE },
    add: { x: written, y: LINE },
    tanh: { x: (g + o) / 2 + 2, y: MIDDLE },
    show: { x: o, y: MIDDLE },
  };
}

function wiresBetween(
  { f, i, g, o }: Columns,
  { keep, write, add, tanh, show }: Record<string, Point>,
  boxes: Record<string, Box>,
): Wire[] {
  const y = GATES - GATE_HEIGHT / 2;
  return [
    { name: "c_prev", points: [{ x: boxes.c_prev.width, y: LINE }, keep] },
    { name: "f", points: [{ x: f, y }, keep] },
    { name: "kept", points: [keep, add] },
    { name: "i", points: [{ x: i, y }, { x: i, y: MIDDLE }, write] },
    { name: "g", points: [{ x: g, y }, { x: g, y: MIDDLE }, write] },
    { name: "wrote", points: [write, add] },
    { name: "c", points: [add, { x: boxes.c.x, y: LINE }] },
    { name: "c", points: [{ x: tanh.x, y: LINE }, tanh] },
    { name: "tanh", points: [tanh, show] },
    { name: "o", points: [{ x: o, y }, show] },
    { name: "h", points: [show, { x: boxes.h.x, y: MIDDLE }] },
  ];
}

function labelsAt({ keep, add, tanh }: Record<string, Point>): Record<string, Label> {
  const between = (LINE + MIDDLE) / 2;
  return {
    kept: { at: { x: (keep.x + add.x) / 2, y: LINE + 24 }, anchor: "middle" },
    wrote: { at: { x: add.x + 22, y: between }, anchor: "start" },
    tanh: { at: { x: tanh.x + 22, y: between }, anchor: "start" },
  };
}

const { line: X, state: SIZE, boxes: LEFT } = COLUMN;
const TURN = 128; // x where the lines of i, g and o turn
/** y of each gate's middle */
const ROWS = { f: 120, i: 216, g: 312, o: 408 };
const WRITE = (ROWS.i + ROWS.g) / 2;
const SHOW = 490;
const C_TOP = 352;

function portrait(width: number): Layout {
  const gate = (y: number) => gateBeside(y, width);
  const every = Object.values(ROWS);
  const nodes = {
    keep: { x: X, y: ROWS.f },
    write: { x: TURN, y: WRITE },
    add: { x: X, y: WRITE },
    tanh: { x: X, y: SHOW },
    show: { x: TURN, y: SHOW },
  };
  const gates = Object.entries(ROWS).map(([letter, y]) => [letter, gate(y)]);
  return {
    width,
    height: SHOW + 34,
    nodes,
    wires: wires(nodes),
    buses: busesBeside(width, every, every),
    boxes: {
      ...Object.fromEntries(gates),
      c_prev: { x: 0, y: 0, ...SIZE },
      c: { x: 0, y: C_TOP, ...SIZE },
      h: { x: LEFT, y: SHOW - SIZE.height / 2, width: 112, height: SIZE.height },
      x: { x: LEFT, y: 0, width: width - LEFT, height: 50 },
    },
    labels: {
      kept: { at: { x: X + 14, y: (ROWS.f + WRITE) / 2 }, anchor: "start" },
      wrote: { at: { x: (X + TURN) / 2, y: WRITE + 30 }, anchor: "middle" },
      tanh: { at: { x: (X + TURN) / 2, y: SHOW - 30 }, anchor: "middle" },
    },
  };
}

function wires({ keep, write, add, tanh, show }: Record<string, Point>): Wire[] {
  const x = LEFT;
  return [
    { name: "c_prev", points: [{ x: X, y: SIZE.height }, keep] },
    { name: "f", points: [{ x, y: ROWS.f }, keep] },
    { name: "kept", points: [keep, add] },
    { name: "i", points: [{ x, y: ROWS.i }, { x: TURN, y: ROWS.i }, write] },
    { name: "g", points: [{ x, y: ROWS.g }, { x: TURN, y: ROWS.g }, write] },
    { name: "wrote", points: [write, add] },
    { name: "c", points: [add, { x: X, y: C_TOP }] },
    { name: "c", points: [{ x: X, y: C_TOP + SIZE.height }, tanh] },
    { name: "tanh", points: [tanh, show] },
    { name: "o", points: [{ x, y: ROWS.o }, { x: TURN, y: ROWS.o }, show] },
    { name: "h", points: [show, { x, y: SHOW }] },
  ];
}
