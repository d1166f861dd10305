// Code shared by the layouts of all circuits.

import type { Label, Layout, Point } from "studio/panels/microscope/types.js";
import type { Box } from "studio/ui/stage.js";

const NARROW = 540;
export const GATE_HEIGHT = 84;
export const STATE = { width: 84, height: 56 };
export const LINE = 29; // y of the memory
export const MIDDLE = 113; // y of the written value
const STUBS = [8, 32]; // where x and h_prev branch off, in pixels to the right of a box's middle
const BUS_START = 68; // x where the lines begin, after the names of x and h_prev

/** The layout for a width: time runs to the right (to the left in reverse), and on a narrow panel downwards. */
export function oriented(
  landscape: (width: number) => Layout,
  portrait: (width: number) => Layout,
): (width: number, reverse: boolean) => Layout {
  return (width, reverse) => {
    if (width < NARROW) return portrait(width);
    return reverse ? mirrored(landscape(width)) : landscape(width);
  };
}

export const around = ({ x, y }: Point, { width, height }: { width: number; height: number }): Box => ({
  x: x - width / 2,
  y: y - height / 2,
  width,
  height,
});

/** The lines of x and h_prev below the boxes, and a branch to the middle of each box that reads them. */
export function busesTo(top: number, readX: number[], readH: number[]): { lines: Point[][]; box: Box; bottom: number } {
  const [x, h] = [top + 12, top + 26];
  const bus = (y: number, middles: number[], stub: number) => [
    [
      { x: BUS_START, y },
      { x: Math.max(...middles) + stub, y },
    ],
    ...middles.map((middle) => [
      { x: middle + stub, y },
      { x: middle + stub, y: top },
    ]),
  ];
  return {
    lines: [...bus(x, readX, STUBS[0]), ...bus(h, readH, STUBS[1])],
    box: { x: 0, y: x - 15, width: BUS_START - 6, height: 40 },
    bottom: h + 8,
  };
}

const OTHER_END: Record<Label["anchor"], Label["anchor"]> = { start: "end", middle: "middle", end: "start" };

/** The layout mirrored, from right to left. */
function mirrored(layout: Layout): Layout {
  const { width } = layout;
  const flip = ({ x, y }: Point) => ({ x: width - x, y });
  const flipBox = (box: Box) => ({ ...box, x: width - box.x - box.width });
  const flipLabel = ({ at, anchor }: Label) => ({ at: flip(at), anchor: OTHER_END[anchor] });
  return {
    ...layout,
    boxes: mapped(layout.boxes, flipBox),
    nodes: mapped(layout.nodes, flip),
    labels: mapped(layout.labels, flipLabel),
    wires: layout.wires.map(({ name, points }) => ({ name, points: points.map(flip) })),
    buses: layout.buses.map((points) => points.map(flip)),
  };
}

function mapped<T>(record: Record<string, T>, change: (value: T) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}

const TALL_STATE = { width: 92, height: 56 };
/** The column of the memory: the middle of its line, the size of its states, and where the boxes beside it begin. */
export const COLUMN = { line: TALL_STATE.width / 2, state: TALL_STATE, boxes: 156 };
const BUS = 12; // h_prev's distance from the right edge; x is beside it
const STUB = 13; // where x and h_prev enter a box, in pixels above and below its middle
const TOP = 52;

/** `y`: its middle; `width`: of the panel */
export function gateBeside(y: number, width: number, height: number = GATE_HEIGHT): Box {
  return { x: COLUMN.boxes, y: y - height / 2, width: busRight(width) - COLUMN.boxes, height };
}

const busRight = (width: number) => width - BUS - 34;

/** The lines of x and h_prev, and a branch to the middle of each box that reads them. */
export function busesBeside(width: number, readX: number[], readH: number[]): Point[][] {
  const right = busRight(width);
  const bus = (x: number, middles: number[], stub: number) => [
    [
      { x, y: TOP },
      { x, y: Math.max(...middles) + stub },
    ],
    ...middles.map((y) => [
      { x, y: y + stub },
      { x: right, y: y + stub },
    ]),
  ];
  return [...bus(width - BUS - 16, readX, -STUB), ...bus(width - BUS, readH, STUB)];
}
