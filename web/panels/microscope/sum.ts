// The rows of a sum, with a bar for each term. Each bar starts where the previous one ended, so the last one ends at
// the sum.

import { flowColour } from "studio/panels/microscope/pipes.js";
import type { Term } from "studio/panels/microscope/terms.js";
import type { Numbers } from "studio/panels/microscope/tween.js";
import { format, svg } from "studio/ui/draw.js";
import { factor } from "studio/ui/moment-words.js";
import { pressable, text } from "studio/ui/svg-parts.js";

export const ROW = 17;
const BAR = 10;
const WIDE = 520; // minimum width for the two factors to fit beside the name

/** in pixels */
export type Columns = { name: number; factors: number | null; value: number; from: number; to: number };

export function columnsFor(width: number): Columns {
  if (width < WIDE) return { name: 0, factors: null, value: 228, from: 236, to: width - 2 };
  return { name: 0, factors: 294, value: 360, from: 376, to: width - 2 };
}

export const [FACTORS, VALUE] = [104, 62]; // room for numbers, which are right-aligned

/** @returns room for the input's name */
export function nameRoom({ name, factors, value }: Columns): number {
  return (factors ? factors - FACTORS : value - VALUE) - name - 4;
}

interface SumRow {
  root: SVGElement;
  write: (term: Term) => void;
  draw: (from: number, to: number, x: (value: number) => number) => void;
}

/** @param follow goes to a term's source */
export function sumRow(k: number, columns: Columns, follow: ((k: number) => void) | null): SumRow {
  const y = k * ROW;
  const name = text(columns.name, y + 12, "hs-term", "start", "", nameRoom(columns));
  const factors = text(columns.factors ?? 0, y + 12, "hs-term hs-soft", "end", "", FACTORS);
  const value = text(columns.value, y + 12, "hs-term", "end", "", VALUE);
  const bar = svg("rect", { y: y + (ROW - BAR) / 2, height: BAR, rx: 1.5 });
  const thread = svg("line", { y1: y + ROW - 3.5, y2: y + ROW + 3.5, class: "hs-thread" });
  const back = svg("rect", { x: -4, y, width: columns.to + 6, height: ROW, rx: 3, class: "hs-row-back" });
  const root = svg("g", { class: "hs-row" }, [back, thread, bar, name, value, ...(columns.factors ? [factors] : [])]);
  if (follow) pressable(root, "", () => follow(k));
  const write = (term: Term) => {
    name.textContent = term.name;
    value.textContent = format(term.value);
    factors.textContent = term.weight === null ? "" : `${format(term.weight)}·${factor(Number(term.factor))}`;
    root.setAttribute("class", `hs-row hs-row-${term.kind}${follow ? " hs-press" : ""}`);
    if (follow) root.setAttribute("aria-label", `${term.name} adds ${format(term.value)}. Press to go to its source`);
  };
  const draw = (from: number, to: number, x: (value: number) => number) => {
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
 *
 * @returns at0 at1 ... low high
 */
export function runningOf(terms: readonly Term[]): Numbers {
  let sum = 0;
  const stops = [0, ...terms.map((term) => (sum += term.value))];
  const named = Object.fromEntries(stops.map((value, k) => [`at${k}`, value]));
  return { ...named, low: Math.min(...stops), high: Math.max(...stops) };
}

/**
 * Draws the rows, and the line at 0.
 *
 * @param rows the last one is the sum itself
 */
export function drawSum(rows: readonly SumRow[], zero: SVGElement, { from, to }: Columns, numbers: Numbers) {
  const { low, high } = numbers;
  const x = (value: number) => from + ((to - from) * (value - low)) / (high - low || 1);
  rows.forEach((row, k) => {
    const whole = k === rows.length - 1;
    row.draw(whole ? 0 : numbers[`at${k}`], whole ? numbers[`at${k}`] : numbers[`at${k + 1}`], x);
  });
  zero.setAttribute("x1", String(x(0)));
  zero.setAttribute("x2", String(x(0)));
}
