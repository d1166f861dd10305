// A tile for each unit of a layer, with the kept part of the memory on the left (inside the outline of the previous
// memory), the written part on the right, and a line at their sum, the new memory. All tiles share a few paths, so a
// step is drawn quickly.

import { svg } from "studio/ui/draw.js";
import { text } from "studio/ui/svg-parts.js";

/**
 * @typedef {object} Units each [H], at one step
 * @property {Float32Array} before the previous memory
 * @property {Float32Array} kept
 * @property {Float32Array} wrote
 * @property {Float32Array} memory
 * @property {Float32Array} h
 */

/** @typedef {{columns: number, width: number, height: number}} Tiling */

const AREA = 330; // preferred maximum height of all tiles in pixels
const MOST = { width: 120, height: 80 };
const LEAST = 13;
const NAMED = 30; // minimum width for a tile to show its number
const NUMBER = 11; // height of its number

/** @param {Tiling} tiling */
const named = ({ width, height }) => width >= NAMED && height >= 30;

/**
 * The zero line of a tile's bars, and their maximum length.
 * @param {Tiling} tiling
 */
function middleOf(tiling) {
  const top = named(tiling) ? NUMBER : 0;
  return { zero: top + (tiling.height - top) / 2, reach: (tiling.height - top) / 2 - 3 };
}

/**
 * The number of tiles in a row, and their size.
 * @param {number} units
 * @param {number} width
 * @returns {Tiling}
 */
function tilingFor(units, width) {
  const side = Math.sqrt((width * AREA) / units);
  const wanted = Math.max(1, Math.round(width / Math.max(side, LEAST)));
  const columns = units <= 4 ? units : Math.min(units, Math.max(4, Math.round(wanted / 4) * 4));
  const rows = Math.ceil(units / columns);
  const height = Math.max(LEAST, Math.min(MOST.height, AREA / rows));
  return { columns, width: Math.min(MOST.width, width / columns), height };
}

/**
 * @param {number} units
 * @param {number} width
 */
export function tilesFor(units, width) {
  const tiling = tilingFor(units, width);
  const paths = Object.fromEntries(LAYERS.map((name) => [name, svg("path", { class: `hs-tile-${name}` })]));
  const chosen = svg("rect", { class: "hs-tile-chosen", rx: 3, width: tiling.width, height: tiling.height });
  const pointed = svg("rect", { class: "hs-tile-pointed", rx: 3, width: tiling.width, height: tiling.height });
  const pins = svg("path", { class: "hs-tile-pins" });
  const height = Math.ceil(units / tiling.columns) * tiling.height;
  const root = svg("svg", { class: "hs-tiles", width, height: height + 2, tabindex: 0, role: "group" }, [
    svg("path", { class: "hs-tile-frame", d: framesOf(units, tiling) }),
    ...numbersOf(units, tiling),
    ...LAYERS.map((name) => paths[name]),
    pins,
    pointed,
    chosen,
  ]);
  const move = (/** @type {SVGElement} */ rect, /** @type {number} */ unit) =>
    rect.setAttribute("transform", `translate(${xOf(unit, tiling)} ${yOf(unit, tiling)})`);
  return {
    root,
    tiling,
    draw: (/** @type {Units} */ shown, /** @type {number} */ largest) => fill(paths, shown, tiling, largest),
    point: (/** @type {number} */ unit) => move(pointed, unit),
    select: (/** @type {number} */ unit, /** @type {readonly number[]} */ pinned) => {
      move(chosen, unit);
      pins.setAttribute(
        "d",
        pinned.map((one) => `M${xOf(one, tiling) + tiling.width - 7} ${yOf(one, tiling) + 2}h5v5z`).join(""),
      );
    },
  };
}

const LAYERS = ["before", "plus", "minus", "end", "beyond"];

const xOf = (/** @type {number} */ unit, /** @type {Tiling} */ { columns, width }) => (unit % columns) * width;
const yOf = (/** @type {number} */ unit, /** @type {Tiling} */ { columns, height }) =>
  Math.floor(unit / columns) * height;

/**
 * The unit at a point of the picture; -1 if there is none.
 * @param {number} x
 * @param {number} y
 * @param {number} units
 * @param {Tiling} tiling
 * @returns {number}
 */
export function unitAt(x, y, units, { columns, width, height }) {
  const column = Math.floor(x / width),
    unit = Math.floor(y / height) * columns + column;
  return column >= 0 && column < columns && unit >= 0 && unit < units ? unit : -1;
}

/**
 * @param {number} units
 * @param {Tiling} tiling
 * @returns {string}
 */
function framesOf(units, tiling) {
  const { width, height } = tiling,
    { zero } = middleOf(tiling);
  return Array.from({ length: units }, (_, k) => {
    const x = xOf(k, tiling),
      y = yOf(k, tiling);
    return `M${x + 1.5} ${y + 1.5}h${width - 3}v${height - 3}h${3 - width}zM${x + 3} ${y + zero}h${width - 6}`;
  }).join("");
}

/**
 * @param {number} units
 * @param {Tiling} tiling
 * @returns {SVGElement[]}
 */
function numbersOf(units, tiling) {
  if (!named(tiling)) return [];
  return Array.from({ length: units }, (_, k) =>
    text(xOf(k, tiling) + 4, yOf(k, tiling) + 10.5, "hs-tile-number", "start", String(k)),
  );
}

/**
 * @param {Record<string, SVGElement>} paths
 * @param {Units} units
 * @param {Tiling} tiling
 * @param {number} largest
 */
function fill(paths, { before, kept, wrote, memory }, tiling, largest) {
  const { zero: middle, reach } = middleOf(tiling),
    bar = (tiling.width - 8) / 2;
  /** @type {Record<string, string[]>} */
  const parts = { before: [], plus: [], minus: [], end: [], beyond: [] };
  const up = (/** @type {number} */ value) => Math.max(-1, Math.min(1, value / largest || 0)) * reach;
  for (let k = 0; k < before.length; k++) {
    const x = xOf(k, tiling) + 4,
      zero = yOf(k, tiling) + middle;
    const keeps = up(kept[k]),
      ends = up(kept[k] + wrote[k]);
    parts.before.push(block(x, zero, 0, up(before[k]), bar - 0.5));
    parts[kept[k] < 0 ? "minus" : "plus"].push(block(x, zero, 0, keeps, bar - 0.5));
    parts[wrote[k] < 0 ? "minus" : "plus"].push(block(x + bar + 0.5, zero, keeps, ends, bar - 0.5));
    parts.end.push(`M${round(x + bar)} ${round(zero - up(memory[k]))}h${round(bar)}`);
    if (Math.abs(memory[k]) > largest)
      parts.beyond.push(arrow(x + bar, zero - Math.sign(memory[k]) * (reach + 2), Math.sign(memory[k])));
  }
  for (const name of LAYERS) paths[name].setAttribute("d", parts[name].join(""));
}

/**
 * A small arrow that marks a bar as cut off.
 * @param {number} x
 * @param {number} y its tip
 * @param {number} up 1, or -1 for downwards
 * @returns {string}
 */
function arrow(x, y, up) {
  return `M${round(x)} ${round(y)}l3.5 ${4 * up}h-7z`;
}

const round = (/** @type {number} */ value) => Math.round(value * 10) / 10;

/**
 * A rectangle between two heights, measured from the zero line.
 * @param {number} x
 * @param {number} zero
 * @param {number} from
 * @param {number} to
 * @param {number} width
 * @returns {string}
 */
function block(x, zero, from, to, width) {
  return `M${round(x)} ${round(zero - from)}h${round(width)}V${round(zero - to)}h${round(-width)}z`;
}
