// The rows of a sum, with a bar for each term. Each bar starts where the previous one ended, so the last one ends at
// the sum.

import { flowColour } from "studio/panels/microscope/pipes.js";
import { format, svg } from "studio/ui/draw.js";
import { factor } from "studio/ui/moment-words.js";
import { pressable, text } from "studio/ui/svg-parts.js";

/** @typedef {import("studio/panels/microscope/terms.js").Term} Term */
/** @typedef {import("studio/panels/microscope/tween.js").Numbers} Numbers */

export const ROW = 17;
const BAR = 10;
const WIDE = 520; // minimum width for the two factors to fit beside the name

/** @typedef {{name: number, factors: number | null, value: number, from: number, to: number}} Columns in pixels */

/**
 * @param {number} width
 * @returns {Columns}
 */
export function columnsFor(width) {
  if (width < WIDE) return { name: 0, factors: null, value: 228, from: 236, to: width - 2 };
  return { name: 0, factors: 294, value: 360, from: 376, to: width - 2 };
}

export const [FACTORS, VALUE] = [104, 62]; // room for numbers, which are right-aligned

/**
 * @param {Columns} columns
 * @returns {number} room for the input's name
 */
export function nameRoom({ name, factors, value }) {
  return (factors ? factors - FACTORS : value - VALUE) - name - 4;
}

/**
 * @typedef {object} SumRow
 * @property {SVGElement} root
 * @property {(term: Term) => void} write
 * @property {(from: number, to: number, x: (value: number) => number) => void} draw
 */

/**
 * @param {number} k
 * @param {Columns} columns
 * @param {((k: number) => void) | null} follow goes to a term's source
 * @returns {SumRow}
 */
export function sumRow(k, columns, follow) {
  const y = k * ROW;
  const name = text(columns.name, y + 12, "hs-term", "start", "", nameRoom(columns));
  const factors = text(columns.factors ?? 0, y + 12, "hs-term hs-soft", "end", "", FACTORS);
  const value = text(columns.value, y + 12, "hs-term", "end", "", VALUE);
  const bar = svg("rect", { y: y + (ROW - BAR) / 2, height: BAR, rx: 1.5 });
  const thread = svg("line", { y1: y + ROW - 3.5, y2: y + ROW + 3.5, class: "hs-thread" });
  const back = svg("rect", { x: -4, y, width: columns.to + 6, height: ROW, rx: 3, class: "hs-row-back" });
  const root = svg("g", { class: "hs-row" }, [back, thread, bar, name, value, ...(columns.factors ? [factors] : [])]);
  if (follow) pressable(root, "", () => follow(k));
  const write = (/** @type {Term} */ term) => {
    name.textContent = term.name;
    value.textContent = format(term.value);
    factors.textContent = term.weight === null ? "" : `${format(term.weight)}·${factor(Number(term.factor))}`;
    root.setAttribute("class", `hs-row hs-row-${term.kind}${follow ? " hs-press" : ""}`);
    if (follow)
      root.setAttribute("aria-label", `${term.name} adds ${format(term.value)}. Press to go to its source`);
  };
  const draw = (/** @type {number} */ from, /** @type {number} */ to, /** @type {(value: number) => number} */ x) => {
    const [a, b] = [x(from), x(to)];
    bar.setAttribute("x", String(Math.min(a, b)));
    bar.setAttribute("width", String(Math.max(0.75, Math.abs(b - a))));
    bar.setAttribute("fill", flowColour("c", to - from));
    thread.setAttribute("x1", String(b));
    thread.setAttribute("x2", String(b));
  };
  return { root, write, draw };
}

/**
 * The partial sums before and after each term, and their range.
 * @param {readonly Term[]} terms
 * @returns {Numbers} at0 at1 ... low high
 */
export function runningOf(terms) {
  let sum = 0;
  const stops = [0, ...terms.map((term) => (sum += term.value))];
  const named = Object.fromEntries(stops.map((value, k) => [`at${k}`, value]));
  return { ...named, low: Math.min(...stops), high: Math.max(...stops) };
}

/**
 * Draws the rows, and the line at 0.
 * @param {readonly SumRow[]} rows the last one is the sum itself
 * @param {SVGElement} zero
 * @param {Columns} columns
 * @param {Numbers} numbers
 */
export function drawSum(rows, zero, { from, to }, numbers) {
  const { low, high } = numbers;
  const x = (/** @type {number} */ value) => from + ((to - from) * (value - low)) / (high - low || 1);
  rows.forEach((row, k) => {
    const whole = k === rows.length - 1;
    row.draw(whole ? 0 : numbers[`at${k}`], whole ? numbers[`at${k}`] : numbers[`at${k + 1}`], x);
  });
  zero.setAttribute("x1", String(x(0)));
  zero.setAttribute("x2", String(x(0)));
}
