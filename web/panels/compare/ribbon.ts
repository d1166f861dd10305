// The divergence ribbon: two strands, one for each run, as far apart as their states are.

import type { Parting } from "studio/panels/compare/distance.js";
import { svg } from "studio/ui/draw.js";

const TOGETHER = 1.25; // half the gap between equal strands, so that both are visible

export interface Strip {
  name: string; // of the track
  reverse: boolean;
  distance: Float32Array; // by column
  parting: Parting;
}

type Point = { x: number; gap: number };

/**
 * The paths of the strands, interrupted at columns that are not in both runs. Both strands start at one edge, from the
 * same state, and end at the other edge with the state after their last step.
 *
 * @param centre of a column
 * @param column its width
 * @param scale pixels for a distance of 1
 */
function pieces({ distance, reverse }: Strip, centre: (k: number) => number, column: number, scale: number): Point[][] {
  const found: Point[][] = [[]];
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

/** A smooth line through points, horizontal at each, so that it does not overshoot. */
function curve(points: Point[], y: (point: Point) => number): string {
  const rest = points.slice(1).map((to, k) => {
    const from = points[k];
    const middle = (from.x + to.x) / 2;
    return `C${middle} ${y(from)} ${middle} ${y(to)} ${to.x} ${y(to)}`;
  });
  return `${points[0].x} ${y(points[0])} ${rest.join(" ")}`;
}

/** Both strands of one track and the area between them. */
export function strands(
  strip: Strip,
  {
    y,
    height,
    centre,
    column,
    scale,
  }: { y: number; height: number; centre: (k: number) => number; column: number; scale: number },
): SVGElement[] {
  const middle = y + height / 2;
  const up = ({ gap }: Point) => middle - gap;
  const down = ({ gap }: Point) => middle + gap;
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

/** The labels of a strip: where the runs diverge, where they are furthest apart, where they converge. */
export function marksOf({ distance, parting, reverse }: Strip): { k: number; text: string; kind: string }[] {
  const { first, widest, meets } = parting;
  if (first < 0) return [];
  const marks = [{ k: widest, text: distance[widest].toFixed(2), kind: "widest" }];
  marks.push({ k: first, text: reverse ? "part ◂" : "▸ part", kind: "first" });
  if (meets >= 0 && meets !== widest) marks.push({ k: meets, text: "meet", kind: "meets" });
  return marks;
}
