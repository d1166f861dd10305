// The layout of a plain RNN's circuit. Time runs to the right on a wide panel, and downwards on a narrow one.

import {
  around,
  busesTo,
  LINE,
  oriented,
  STATE,
  busesBeside,
  COLUMN,
  gateBeside,
} from "studio/panels/microscope/layout.js";
import type { Layout } from "studio/panels/microscope/types.js";

const PART = { width: 168, height: 60 }; // size of the boxes of both parts
const TOP = 96; // y of their upper edges

/** The layout for a width, mirrored for the reverse direction. */
export const rnnLayout = oriented(landscape, portrait);

function landscape(width: number): Layout {
  const [first, last] = [STATE.width / 2, width - STATE.width / 2];
  const [hidden, input] = [0.27 * width, 0.27 * width + PART.width + 16];
  const nodes = { add: { x: input, y: LINE }, squash: { x: (input + last) / 2 + 8, y: LINE } };
  const buses = busesTo(TOP + PART.height, [input], [hidden]);
  const middle = TOP + PART.height / 2;
  return {
    width,
    height: buses.bottom,
    nodes,
    boxes: {
      from_h: around({ x: hidden, y: middle }, PART),
      from_x: around({ x: input, y: middle }, PART),
      h_prev: around({ x: first, y: LINE }, STATE),
      h: around({ x: last, y: LINE }, STATE),
      x: buses.box,
    },
    labels: { sum: { at: { x: (nodes.add.x + nodes.squash.x) / 2, y: LINE + 24 }, anchor: "middle" } },
    wires: [
      { name: "from_h", points: [{ x: hidden, y: TOP }, { x: hidden, y: LINE }, nodes.add] },
      { name: "from_x", points: [{ x: input, y: TOP }, nodes.add] },
      { name: "sum", points: [nodes.add, nodes.squash] },
      { name: "h", points: [nodes.squash, { x: last - STATE.width / 2, y: LINE }] },
    ],
    buses: buses.lines,
  };
}

const ROWS = { from_h: 104, from_x: 190 }; // y of each box's middle
const SQUASH = 258;
const H_TOP = 300;

function portrait(width: number): Layout {
  const { line: x, boxes: left, state } = COLUMN;
  const nodes = { add: { x, y: ROWS.from_x }, squash: { x, y: SQUASH } };
  return {
    width,
    height: H_TOP + state.height + 4,
    nodes,
    boxes: {
      from_h: gateBeside(ROWS.from_h, width, PART.height),
      from_x: gateBeside(ROWS.from_x, width, PART.height),
      h_prev: { x: 0, y: 0, ...state },
      h: { x: 0, y: H_TOP, ...state },
      x: { x: left, y: 0, width: width - left, height: 50 },
    },
    labels: { sum: { at: { x: x + 18, y: (ROWS.from_x + SQUASH) / 2 }, anchor: "start" } },
    wires: [
      { name: "from_h", points: [{ x: left, y: ROWS.from_h }, { x, y: ROWS.from_h }, nodes.add] },
      { name: "from_x", points: [{ x: left, y: ROWS.from_x }, nodes.add] },
      { name: "sum", points: [nodes.add, nodes.squash] },
      { name: "h", points: [nodes.squash, { x, y: H_TOP }] },
    ],
    buses: busesBeside(width, [ROWS.from_x], [ROWS.from_h]),
  };
}
