// Code shared by the layouts of all circuits.

/** @typedef {import("studio/ui/svg-parts.js").Box} Box */
/** @typedef {import("studio/panels/microscope/types.js").Point} Point */
/** @typedef {import("studio/panels/microscope/types.js").Label} Label */
/** @typedef {import("studio/panels/microscope/types.js").Layout} Layout */

const NARROW = 540;
export const GATE_HEIGHT = 84;
export const STATE = { width: 84, height: 56 };
export const LINE = 29; // y of the memory
export const MIDDLE = 113; // y of the written value
const STUBS = [8, 32]; // where x and h_prev branch off, in pixels to the right of a box's middle
const BUS_START = 68; // x where the lines begin, after the names of x and h_prev

/**
 * The layout for a width. On a wide panel, time runs to the right, or to the left for the reverse direction; on a
 * narrow one, downwards.
 * @param {(width: number) => Layout} landscape
 * @param {(width: number) => Layout} portrait
 * @returns {(width: number, reverse: boolean) => Layout}
 */
export function oriented(landscape, portrait) {
  return (width, reverse) => {
    if (width < NARROW) return portrait(width);
    return reverse ? mirrored(landscape(width)) : landscape(width);
  };
}

/**
 * @param {Point} middle
 * @param {{width: number, height: number}} size
 * @returns {Box}
 */
export const around = ({ x, y }, { width, height }) => ({ x: x - width / 2, y: y - height / 2, width, height });

/**
 * The lines of x and h_prev under the boxes, and a branch up to each box that reads them.
 * @param {number} top y of the boxes' lower edges
 * @param {number[]} readX middles of the boxes that read x
 * @param {number[]} readH middles of those that read h_prev
 * @returns {{lines: Point[][], box: Box, bottom: number}}
 */
export function busesTo(top, readX, readH) {
  const [x, h] = [top + 12, top + 26];
  const bus = (/** @type {number} */ y, /** @type {number[]} */ middles, /** @type {number} */ stub) => [
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

/** @type {Record<Label["anchor"], Label["anchor"]>} */
const OTHER_END = { start: "end", middle: "middle", end: "start" };

/**
 * The layout mirrored, from right to left.
 * @param {Layout} layout
 * @returns {Layout}
 */
function mirrored(layout) {
  const { width } = layout;
  const flip = (/** @type {Point} */ { x, y }) => ({ x: width - x, y });
  const flipBox = (/** @type {Box} */ box) => ({ ...box, x: width - box.x - box.width });
  const flipLabel = (/** @type {Label} */ { at, anchor }) => ({ at: flip(at), anchor: OTHER_END[anchor] });
  return {
    ...layout,
    boxes: mapped(layout.boxes, flipBox),
    nodes: mapped(layout.nodes, flip),
    labels: mapped(layout.labels, flipLabel),
    wires: layout.wires.map(({ name, points }) => ({ name, points: points.map(flip) })),
    buses: layout.buses.map((points) => points.map(flip)),
  };
}

/**
 * @template T
 * @param {Record<string, T>} record
 * @param {(value: T) => T} change
 * @returns {Record<string, T>}
 */
function mapped(record, change) {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}
