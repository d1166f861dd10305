// The divergence ribbon: two strands, one for each run, as far apart as their states are.

import { svg } from "studio/ui/draw.js";

/** @typedef {import("studio/panels/compare/distance.js").Parting} Parting */

const TOGETHER = 1.25; // half the gap between equal strands, so that both are visible

/**
 * @typedef {object} Strip
 * @property {string} name of the track
 * @property {boolean} reverse
 * @property {Float32Array} distance by column
 * @property {Parting} parting
 */

/** @typedef {{x: number, gap: number}} Point */

/**
 * The paths of the strands, interrupted at columns that are not in both runs. Both strands start at one edge, from the
 * same state, and end at the other edge with the state after their last step.
 * @param {Strip} strip
 * @param {(k: number) => number} centre of a column
 * @param {number} column its width
 * @param {number} scale pixels for a distance of 1
 * @returns {Point[][]}
 */
function pieces({ distance, reverse }, centre, column, scale) {
  /** @type {Point[][]} */
  const found = [[]];
  distance.forEach((size, k) => {
    if (Number.isNaN(size)) found.push([]);
    else found[found.length - 1].push({ x: centre(k), gap: TOGETHER + (size * scale) / 2 });
  });
  const [first, last] = [found[0], found[found.length - 1]];
  const left = { x: centre(0) - column / 2, gap: reverse ? first[0]?.gap : TOGETHER };
  const right = { x: centre(distance.length - 1) + column / 2, gap: reverse ? TOGETHER : last[last.length - 1]?.gap };
  if (first.length) first.unshift(left);
  if (last.length) last.push(right);
  return found.filter((piece) => piece.length);
}

/**
 * A smooth line through points, horizontal at each, so that it does not overshoot.
 * @param {Point[]} points
 * @param {(point: Point) => number} y
 * @returns {string}
 */
function curve(points, y) {
  const rest = points.slice(1).map((to, k) => {
    const from = points[k];
    const middle = (from.x + to.x) / 2;
    return `C${middle} ${y(from)} ${middle} ${y(to)} ${to.x} ${y(to)}`;
  });
  return `${points[0].x} ${y(points[0])} ${rest.join(" ")}`;
}

/**
 * Both strands of one track and the area between them.
 * @param {Strip} strip
 * @param {{y: number, height: number, centre: (k: number) => number, column: number, scale: number}} where
 * @returns {SVGElement[]}
 */
export function strands(strip, { y, height, centre, column, scale }) {
  const middle = y + height / 2;
  const up = (/** @type {Point} */ { gap }) => middle - gap;
  const down = (/** @type {Point} */ { gap }) => middle + gap;
  const all = pieces(strip, centre, column, scale);
  const bridges = all.slice(1).map((piece, k) => [all[k][all[k].length - 1], piece[0]]);
  return [
    ...all.map((piece) =>
      svg("path", { class: "between", d: `M${curve(piece, up)} L${curve([...piece].reverse(), down)} Z` }),
    ),
    ...bridges.flatMap((bridge) =>
      [up, down].map((side) => svg("path", { class: "bridge", d: `M${curve(bridge, side)}` })),
    ),
    ...all.map((piece) => svg("path", { class: "strand a", d: `M${curve(piece, up)}` })),
    ...all.map((piece) => svg("path", { class: "strand b", d: `M${curve(piece, down)}` })),
  ];
}

/**
 * The labels of a strip: where the runs diverge, where they are furthest apart, where they converge.
 * @param {Strip} strip
 * @returns {{k: number, text: string, kind: string}[]}
 */
export function marksOf({ distance, parting, reverse }) {
  const { first, widest, meets } = parting;
  if (first < 0) return [];
  const marks = [{ k: widest, text: distance[widest].toFixed(2), kind: "widest" }];
  marks.push({ k: first, text: reverse ? "part ◂" : "▸ part", kind: "first" });
  if (meets >= 0 && meets !== widest) marks.push({ k: meets, text: "meet", kind: "meets" });
  return marks;
}
