// Code shared by the circuits on a narrow panel, where the memory runs down the left side with the boxes to its right.

import type { Box } from "studio/ui/svg-parts.js";
import type { Point } from "studio/panels/microscope/types.js";

const STATE = { width: 92, height: 56 };
/** The column of the memory: the middle of its line, the size of its states, and where the boxes beside it begin. */
export const COLUMN = { line: STATE.width / 2, state: STATE, boxes: 156 };
const HEIGHT = 84;
const BUS = 12; // h_prev's distance from the right edge; x is beside it
const STUB = 13; // where x and h_prev enter a box, in pixels above and below its middle
const TOP = 52;

/** `y`: its middle; `width`: of the panel */
export function gateBeside(y: number, width: number, height: number = HEIGHT): Box {
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
