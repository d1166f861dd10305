// Draws wires as pipes: a pipe is as wide as the largest possible value, and the flow in it is as wide as the value.

import type { Numbers } from "studio/panels/microscope/tween.js";
import type { Layout, Point } from "studio/panels/microscope/types.js";
import { svg } from "studio/ui/draw.js";

export const PIPE = 14;
const THINNEST = 0.8; // minimum width of a nonzero flow, so that it is visible
const CORNER = 8;
/** The colours of values between 0 and 1, by gate; other values are coloured by sign. */
const OPEN: Record<string, string> = { i: "i", f: "f", o: "o", r: "r", z: "z", write: "z" };

/** Draws all pipes empty, and returns the function that fills them. */
export function pipes(layout: Layout): { parts: SVGElement[]; fill: (numbers: Numbers, largest: number) => void } {
  const casings = layout.wires.map((wire) => line(wire.points, "casing", PIPE + 2));
  const insides = layout.wires.map((wire) => line(wire.points, "inside", PIPE));
  const flows = layout.wires.map((wire) => line(wire.points, "flow", 0));
  const buses = layout.buses.map((points) => line(points, "bus", 1.5));
  const fill = (numbers: Numbers, largest: number) =>
    layout.wires.forEach((wire, k) => flow(flows[k], wire.name, numbers[wire.name], largest));
  return { parts: [...buses, ...casings, ...insides, ...flows], fill };
}

function flow(path: SVGElement, name: string, value: number, largest: number) {
  const part = Math.min(1, Math.abs(value) / (name in OPEN ? 1 : largest));
  path.setAttribute("stroke-width", String(part > 0 ? Math.max(THINNEST, PIPE * part) : 0));
  path.setAttribute("stroke", flowColour(name, value));
}

/** A gate's colour, or the sign's colour. */
export function flowColour(name: string, value: number): string {
  if (name in OPEN) return `var(--q-${OPEN[name]})`;
  return value < 0 ? "var(--minus)" : "var(--plus)";
}

function line(points: Point[], kind: string, width: number): SVGElement {
  return svg("path", { d: pathOf(points), class: `hs-${kind}`, fill: "none", "stroke-width": width });
}

/** A line through points, its corners rounded. */
export function pathOf(points: Point[]): string {
  const [first, ...rest] = points;
  const parts = rest.map((here, k) => {
    const next = rest[k + 1];
    if (!next) return `L${here.x} ${here.y}`;
    const from = towards(here, k === 0 ? first : rest[k - 1], CORNER),
      to = towards(here, next, CORNER);
    return `L${from.x} ${from.y}Q${here.x} ${here.y} ${to.x} ${to.y}`;
  });
  return `M${first.x} ${first.y}${parts.join("")}`;
}

/** The point at a given distance from one point towards another. */
function towards(from: Point, to: Point, distance: number): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const part = Math.min(1, distance / length);
  return { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
}

/**
 * The point at a given fraction of the way along a line.
 *
 * @param part 0..1
 */
export function along(points: Point[], part: number): Point {
  const lengths = points.slice(1).map((end, k) => Math.hypot(end.x - points[k].x, end.y - points[k].y));
  let left = part * lengths.reduce((sum, length) => sum + length, 0);
  for (let k = 0; k < lengths.length; k++) {
    if (left <= lengths[k] || k === lengths.length - 1) return towards(points[k], points[k + 1], left);
    left -= lengths[k];
  }
  return points[0];
}
