// The layout of the circuit: on a wide panel time runs to the right, on a narrow one downwards.

import { portrait } from "studio/panels/microscope/portrait.js";

/** @typedef {import("studio/ui/svg-parts.js").Box} Box */
/** @typedef {import("studio/panels/microscope/types.js").Point} Point */
/** @typedef {import("studio/panels/microscope/types.js").Label} Label */
/** @typedef {import("studio/panels/microscope/types.js").Wire} Wire */
/** @typedef {import("studio/panels/microscope/types.js").Layout} Layout */
const NARROW = 540;
const GAP = 12;
const GATE_HEIGHT = 84;
const STATE = { width: 84, height: 56 };
const LINE = 29; // y of the cell state
const MIDDLE = 113; // y of the written value and the output
const GATES = 190;
const BOTTOM = GATES + GATE_HEIGHT / 2;
const X_BUS = BOTTOM + 12;
const H_BUS = X_BUS + 14;
const STUBS = [8, 32]; // where x and h_prev branch off, to the right of a gate's middle
const BUS_START = 68; // after the names of x and h_prev

/**
 * The layout for a width, mirrored for the reverse direction.
 * @param {number} width
 * @param {boolean} reverse
 * @returns {Layout}
 */
export function layoutFor(width, reverse) {
  if (width < NARROW) return portrait(width);
  return reverse ? mirrored(landscape(width)) : landscape(width);
}

/**
 * @param {Point} middle
 * @param {{width: number, height: number}} size
 * @returns {Box}
 */
const around = ({ x, y }, { width, height }) => ({ x: x - width / 2, y: y - height / 2, width, height });

/** @typedef {{f: number, i: number, g: number, o: number}} Columns an x for each gate */

/**
 * @param {number} width
 * @returns {Layout}
 */
function landscape(width) {
  const gate = { width: (width - 3 * GAP) / 4, height: GATE_HEIGHT };
  const [f, i, g, o] = [0, 1, 2, 3].map((k) => gate.width / 2 + k * (gate.width + GAP));
  const side = gate.width / 2; // the wires leave the gates towards the middle of the picture
  const wires = { f: f + side - 16, i: i + side - 26, g: g - side + 26, o: o - side + 20 };
  const nodes = nodesAt(wires);
  const gates = Object.entries({ f, i, g, o }).map(([letter, x]) => [letter, around({ x, y: GATES }, gate)]);
  const boxes = {
    ...Object.fromEntries(gates),
    ...states(width),
    x: { x: 0, y: X_BUS - 15, width: BUS_START - 6, height: 40 },
  };
  return {
    width,
    height: H_BUS + 8,
    boxes,
    nodes,
    labels: labelsAt(nodes),
    wires: wiresBetween(wires, nodes, boxes),
    buses: busesTo({ f, i, g, o }),
  };
}

/**
 * @param {number} width
 * @returns {Record<string, Box>}
 */
function states(width) {
  const [first, last] = [STATE.width / 2, width - STATE.width / 2];
  return {
    c_prev: around({ x: first, y: LINE }, STATE),
    c: around({ x: last, y: LINE }, STATE),
    h: around({ x: last, y: MIDDLE }, STATE),
  };
}

/**
 * @param {Columns} columns
 * @returns {Record<string, Point>}
 */
function nodesAt({ f, i, g, o }) {
  const written = (i + g) / 2;
  return {
    keep: { x: f, y: LINE },
    write: { x: written, y: MIDDLE },
    add: { x: written, y: LINE },
    tanh: { x: (g + o) / 2 + 2, y: MIDDLE },
    show: { x: o, y: MIDDLE },
  };
}

/**
 * @param {Columns} columns
 * @param {Record<string, Point>} nodes
 * @param {Record<string, Box>} boxes
 * @returns {Wire[]}
 */
function wiresBetween({ f, i, g, o }, { keep, write, add, tanh, show }, boxes) {
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

/**
 * The two lines under the gates, and from each of them a branch up to every gate.
 * @param {Columns} columns
 * @returns {Point[][]}
 */
function busesTo({ f, i, g, o }) {
  const [x, h] = STUBS;
  const lines = [
    [X_BUS, x],
    [H_BUS, h],
  ].map(([y, stub]) => [
    { x: BUS_START, y },
    { x: o + stub, y },
  ]);
  const branches = [f, i, g, o].flatMap((middle) => [
    [
      { x: middle + x, y: X_BUS },
      { x: middle + x, y: BOTTOM },
    ],
    [
      { x: middle + h, y: H_BUS },
      { x: middle + h, y: BOTTOM },
    ],
  ]);
  return [...lines, ...branches];
}

/**
 * @param {Record<string, Point>} nodes
 * @returns {Record<string, Label>}
 */
function labelsAt({ keep, add, tanh }) {
  const between = (LINE + MIDDLE) / 2;
  return {
    kept: { at: { x: (keep.x + add.x) / 2, y: LINE + 24 }, anchor: "middle" },
    wrote: { at: { x: add.x + 22, y: between }, anchor: "start" },
    tanh: { at: { x: tanh.x + 22, y: between }, anchor: "start" },
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
