// An LSTM's circuit on a narrow panel: the cell state runs down the left side, with the gates to its right.

import { busesBeside, COLUMN, gateBeside } from "studio/panels/microscope/portrait.js";
import type { Layout, Point, Wire } from "studio/panels/microscope/types.js";

const { line: LINE, state: STATE, boxes: LEFT } = COLUMN;
const TURN = 128; // x where the lines of i, g and o turn
/** y of each gate's middle */
const GATES = { f: 120, i: 216, g: 312, o: 408 };
const WRITE = (GATES.i + GATES.g) / 2;
const SHOW = 490;
const C_TOP = 352;

export function portrait(width: number): Layout {
  const gate = (y: number) => gateBeside(y, width);
  const every = Object.values(GATES);
  const nodes = {
    keep: { x: LINE, y: GATES.f },
    write: { x: TURN, y: WRITE },
    add: { x: LINE, y: WRITE },
    tanh: { x: LINE, y: SHOW },
    show: { x: TURN, y: SHOW },
  };
  const gates = Object.entries(GATES).map(([letter, y]) => [letter, gate(y)]);
  return {
    width,
    height: SHOW + 34,
    nodes,
    wires: wires(nodes),
    buses: busesBeside(width, every, every),
    boxes: {
      ...Object.fromEntries(gates),
      c_prev: { x: 0, y: 0, ...STATE },
      c: { x: 0, y: C_TOP, ...STATE },
      h: { x: LEFT, y: SHOW - STATE.height / 2, width: 112, height: STATE.height },
      x: { x: LEFT, y: 0, width: width - LEFT, height: 50 },
    },
    labels: {
      kept: { at: { x: LINE + 14, y: (GATES.f + WRITE) / 2 }, anchor: "start" },
      wrote: { at: { x: (LINE + TURN) / 2, y: WRITE + 30 }, anchor: "middle" },
      tanh: { at: { x: (LINE + TURN) / 2, y: SHOW - 30 }, anchor: "middle" },
    },
  };
}

function wires({ keep, write, add, tanh, show }: Record<string, Point>): Wire[] {
  const x = LEFT;
  return [
    { name: "c_prev", points: [{ x: LINE, y: STATE.height }, keep] },
    { name: "f", points: [{ x, y: GATES.f }, keep] },
    { name: "kept", points: [keep, add] },
    { name: "i", points: [{ x, y: GATES.i }, { x: TURN, y: GATES.i }, write] },
    { name: "g", points: [{ x, y: GATES.g }, { x: TURN, y: GATES.g }, write] },
    { name: "wrote", points: [write, add] },
    { name: "c", points: [add, { x: LINE, y: C_TOP }] },
    { name: "c", points: [{ x: LINE, y: C_TOP + STATE.height }, tanh] },
    { name: "tanh", points: [tanh, show] },
    { name: "o", points: [{ x, y: GATES.o }, { x: TURN, y: GATES.o }, show] },
    { name: "h", points: [show, { x, y: SHOW }] },
  ];
}
