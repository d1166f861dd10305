// Where the parts of each circuit are. Time runs to the right on a wide panel, and downwards on a narrow one.

import type { Label, Layout, Operation, Point } from "studio/panels/microscope/types.js";
import type { Box } from "studio/ui/stage.js";

/** The places on a panel of some width, of which `layoutOf` makes the wires. */
export interface Places extends Omit<Layout, "wires"> {
  out: Record<string, Point>; // where a value leaves its box, for all operations, or for one: "z minus"
  into: Record<string, Point>; // where a value enters a box
}

const NARROW = 540;
const OTHER_END = { start: "end", middle: "middle", end: "start" } as const;

/** The layout for a width, mirrored for the reverse direction unless time runs downwards. */
export function layoutOf(
  operations: Record<string, Operation>,
  { wide, narrow }: Record<"wide" | "narrow", (width: number) => Places>,
  width: number,
  reverse: boolean,
): Layout {
  const isNarrow = width < NARROW;
  const { out, into, ...places } = (isNarrow ? narrow : wide)(width);
  /** A line from a box, which it leaves upwards or, on a narrow panel, sideways. */
  const bent = (port: Point, node: Point): Point[] => {
    if (port[0] === node[0] || port[1] === node[1]) return [port, node];
    return [port, isNarrow ? [node[0], port[1]] : [port[0], node[1]], node];
  };
  const wires = Object.entries(operations).flatMap(([at, { reads, gives }]) => {
    const node = places.nodes[at];
    const ports = reads.map((name) => ({ name, port: out[`${name} ${at}`] ?? out[name] })).filter(({ port }) => port);
    const next = Object.keys(operations).filter((to) => operations[to].reads.includes(gives) && !out[gives]);
    return [
      ...ports.map(({ name, port }) => ({ name, points: bent(port, node) })),
      ...next.map((to) => ({ name: gives, points: [node, places.nodes[to]] })),
      ...(into[gives] ? [{ name: gives, points: bent(into[gives], node).reverse() }] : []),
    ];
  });
  const layout = { ...places, wires };
  return reverse && !isNarrow ? mirrored(layout, width) : layout;
}

/** The layout from right to left. */
function mirrored(layout: Layout, width: number): Layout {
  const flip = ([x, y]: Point): Point => [width - x, y];
  return {
    ...layout,
    boxes: mapped(layout.boxes, (box) => ({ ...box, x: width - box.x - box.width })),
    nodes: mapped(layout.nodes, flip),
    labels: mapped(layout.labels, ([x, y, anchor]): Label => [width - x, y, OTHER_END[anchor]]),
    wires: layout.wires.map(({ name, points }) => ({ name, points: points.map(flip) })),
    buses: layout.buses.map((points) => points.map(flip)),
  };
}

const mapped = <T, U>(record: Record<string, T>, change: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));

const GATE = 84; // height
const PART = { width: 168, height: 60 }; // a part of a gate's sum
const STATE = { width: 84, height: 56 };
const [LINE, MIDDLE] = [29, 113]; // y of the memory, and of the written value
const [TOP, BOTTOM] = [148, 232]; // of the gates of an LSTM and a GRU
const GAP = 12; // between them

type Size = { width: number; height: number };
const around = (x: number, y: number, size: Size): Box => ({ x: x - size.width / 2, y: y - size.height / 2, ...size });

/** The boxes of the states at both ends of the line, and where the line leaves and enters them. */
const statesAcross = (width: number, past: string, memory: string): Pick<Places, "boxes" | "out" | "into"> => ({
  boxes: { [past]: around(STATE.width / 2, LINE, STATE), [memory]: around(width - STATE.width / 2, LINE, STATE) },
  out: { [past]: [STATE.width, LINE] },
  into: { [memory]: [width - STATE.width, LINE] },
});

/** Boxes in a row, with their middles and half their width. */
function gatesAcross(width: number, names: string[]) {
  const size = { width: (width - (names.length - 1) * GAP) / names.length, height: GATE };
  const side = size.width / 2;
  const middles = names.map((_, k) => side + k * (size.width + GAP));
  const boxes = names.map((name, k) => [name, around(middles[k], TOP + GATE / 2, size)]);
  return { side, middles, gates: Object.fromEntries(boxes) as Record<string, Box> };
}

/** A line that carries a vector past the boxes that read it, with a branch to the middle of each. */
function bus(at: (along: number, across: number) => Point, ends: Point, start: number, stub: number, to: number[]) {
  const [level, box] = ends;
  const branches = to.map((middle) => [at(middle + stub, level), at(middle + stub, box)]);
  return [[at(start, level), at(Math.max(...to) + stub, level)], ...branches];
}

/** The lines of x and h_prev below the boxes. */
function busesBelow(bottom: number, readX: number[], readH: number[]): { buses: Point[][]; x: Box; height: number } {
  const at = (x: number, y: number): Point => [x, y];
  const start = 68; // after the names of x and h_prev
  const [x, h] = [bottom + 12, bottom + 26];
  return {
    buses: [...bus(at, [x, bottom], start, 8, readX), ...bus(at, [h, bottom], start, 32, readH)],
    x: { x: 0, y: x - 15, width: start - 6, height: 40 },
    height: h + 8,
  };
}

// A narrow panel has a column with the states, the line in its middle, and the boxes beside it.
const TALL = { width: 92, height: 56 }; // a state
const X = TALL.width / 2; // of the line
const LEFT = 156; // of the boxes
const TURN = 128; // x where the lines from them turn
const BUS = 12; // h_prev's distance from the right edge; x is beside it
const right = (width: number) => width - BUS - 34; // of the boxes

const beside = (width: number, y: number, height: number = GATE): Box => {
  return { x: LEFT, y: y - height / 2, width: right(width) - LEFT, height };
};

function statesDown(width: number, past: string, memory: string, top: number): Pick<Places, "boxes" | "out" | "into"> {
  const x = { x: LEFT, y: 0, width: width - LEFT, height: 50 };
  return {
    boxes: { [past]: { x: 0, y: 0, ...TALL }, [memory]: { x: 0, y: top, ...TALL }, x },
    out: { [past]: [X, TALL.height] },
    into: { [memory]: [X, top] },
  };
}

/** The lines of x and h_prev beside the boxes. */
function busesBeside(width: number, readX: number[], readH: number[]): Point[][] {
  const at = (y: number, x: number): Point => [x, y];
  const [x, h, box] = [width - BUS - 16, width - BUS, right(width)];
  return [...bus(at, [x, box], 52, -13, readX), ...bus(at, [h, box], 52, 13, readH)];
}

export const LSTM_PLACES = { wide: lstmWide, narrow: lstmNarrow };
export const GRU_PLACES = { wide: gruWide, narrow: gruNarrow };
export const RNN_PLACES = { wide: rnnWide, narrow: rnnNarrow };

function lstmWide(width: number): Places {
  const { side, middles, gates } = gatesAcross(width, ["f", "i", "g", "o"]);
  const [f, i, g, o] = [middles[0] + side - 16, middles[1] + side - 26, middles[2] - side + 26, middles[3] - side + 20];
  const [write, tanh, between] = [(i + g) / 2, (g + o) / 2 + 2, (LINE + MIDDLE) / 2];
  const { x, ...buses } = busesBelow(BOTTOM, middles, middles);
  const { boxes, out, into } = statesAcross(width, "c_prev", "c");
  const h = { ...boxes.c, y: MIDDLE - STATE.height / 2 };
  return {
    ...{ ...buses, boxes: { ...gates, ...boxes, h, x }, into: { ...into, h: [h.x, MIDDLE] } },
    nodes: { keep: [f, LINE], write: [write, MIDDLE], add: [write, LINE], tanh: [tanh, MIDDLE], show: [o, MIDDLE] },
    labels: {
      kept: [(f + write) / 2, LINE + 24, "middle"],
      wrote: [write + 22, between, "start"],
      tanh: [tanh + 22, between, "start"],
    },
    out: { ...out, f: [f, TOP], i: [i, TOP], g: [g, TOP], o: [o, TOP], c: [tanh, LINE] },
  };
}

function lstmNarrow(width: number): Places {
  const rows = { f: 120, i: 216, g: 312, o: 408 }; // y of each gate's middle
  const [write, show, memory] = [(rows.i + rows.g) / 2, 490, 352];
  const { boxes, out, into } = statesDown(width, "c_prev", "c", memory);
  const h = { x: LEFT, y: show - TALL.height / 2, width: 112, height: TALL.height };
  return {
    ...{ height: show + 34, buses: busesBeside(width, Object.values(rows), Object.values(rows)) },
    nodes: { keep: [X, rows.f], write: [TURN, write], add: [X, write], tanh: [X, show], show: [TURN, show] },
    boxes: { ...mapped(rows, (y) => beside(width, y)), ...boxes, h },
    labels: {
      kept: [X + 14, (rows.f + write) / 2, "start"],
      wrote: [(X + TURN) / 2, write + 30, "middle"],
      tanh: [(X + TURN) / 2, show - 30, "middle"],
    },
    out: { ...out, ...mapped(rows, (y) => [LEFT, y]), c: [X, memory + TALL.height] },
    into: { ...into, h: [LEFT, show] },
  };
}

function gruWide(width: number): Places {
  const { side, middles, gates } = gatesAcross(width, ["z", "n", "n_h", "r"]);
  const [z, n, hidden, r] = middles;
  const [keep, write, back] = [z + side - 20, n - side + 60, n + side - 26]; // x of the lines out of z and n, and into n
  const minus = (keep + write) / 2 - 4;
  const { x, ...buses } = busesBelow(BOTTOM, [z, n, r], [z, hidden, r]);
  const { boxes, out, into } = statesAcross(width, "h_prev", "h");
  const part = { ...gates.n_h, y: BOTTOM - PART.height, height: PART.height };
  return {
    ...{ ...buses, boxes: { ...gates, ...boxes, n_h: part, x }, into: { ...into, n_rh: [back, TOP] } },
    nodes: {
      ...{ keep: [keep, LINE], minus: [minus, MIDDLE], write: [write, MIDDLE], add: [write, LINE] },
      reset: [hidden, MIDDLE],
    },
    labels: {
      kept: [(keep + write) / 2, LINE + 24, "middle"],
      write: [minus + 2, MIDDLE - 26, "middle"],
      wrote: [write + 14, (LINE + MIDDLE) / 2, "start"],
      n_rh: [(back + hidden) / 2 + 2, MIDDLE - 26, "middle"],
    },
    out: { ...out, z: [keep, TOP], "z minus": [keep, MIDDLE], n_h: [hidden, part.y], r: [r, TOP], n: [write, TOP] },
  };
}

function gruNarrow(width: number): Places {
  const [z, n, n_h, r] = [104, 236, 344, 434]; // y of each box's middle
  const [write, back] = [n - 22, n + 24]; // y where n leaves its box, and where r·n_h enters it
  const { boxes, out, into } = statesDown(width, "h_prev", "h", 352);
  return {
    ...{ height: r + GATE / 2 + 4, buses: busesBeside(width, [z, n, r], [z, n_h, r]) },
    nodes: { keep: [X, z], minus: [TURN, z + 56], write: [TURN, write], add: [X, write], reset: [TURN, n_h] },
    boxes: { ...mapped({ z, n, r }, (y) => beside(width, y)), n_h: beside(width, n_h, PART.height), ...boxes },
    labels: {
      kept: [X + 14, (z + write) / 2, "start"],
      write: [TURN + 20, z + 58, "start"],
      wrote: [(X + TURN) / 2, write + 30, "middle"],
      n_rh: [TURN - 14, back + 40, "end"],
    },
    out: { ...out, z: [LEFT, z], "z minus": [TURN, z], n_h: [LEFT, n_h], r: [LEFT, r], n: [LEFT, write] },
    into: { ...into, n_rh: [LEFT, back] },
  };
}

function rnnWide(width: number): Places {
  const top = 96; // of the boxes of both parts
  const [hidden, input] = [0.27 * width, 0.27 * width + PART.width + 16];
  const squash = (input + width - STATE.width / 2) / 2 + 8;
  const { x, ...buses } = busesBelow(top + PART.height, [input], [hidden]);
  const { boxes, out, into } = statesAcross(width, "h_prev", "h");
  const parts = mapped({ from_h: hidden, from_x: input }, (middle) => around(middle, top + PART.height / 2, PART));
  return {
    ...{ ...buses, boxes: { ...parts, ...boxes, x }, into },
    nodes: { add: [input, LINE], squash: [squash, LINE] },
    labels: { sum: [(input + squash) / 2, LINE + 24, "middle"] },
    out: { ...out, from_h: [hidden, top], from_x: [input, top] },
  };
}

function rnnNarrow(width: number): Places {
  const rows = { from_h: 104, from_x: 190 }; // y of each box's middle
  const [squash, memory] = [258, 300];
  const { boxes, out, into } = statesDown(width, "h_prev", "h", memory);
  return {
    ...{ height: memory + TALL.height + 4, buses: busesBeside(width, [rows.from_x], [rows.from_h]) },
    nodes: { add: [X, rows.from_x], squash: [X, squash] },
    boxes: { ...mapped(rows, (y) => beside(width, y, PART.height)), ...boxes },
    labels: { sum: [X + 18, (rows.from_x + squash) / 2, "start"] },
    ...{ out: { ...out, ...mapped(rows, (y) => [LEFT, y]) }, into },
  };
}
