// Draws wires as pipes: a pipe is as wide as the largest possible value, and the flow in it is as wide as the value.

import type { Layout, Numbers, Point } from "studio/panels/microscope/types.js";
import { isSequential } from "studio/state/ranges.js";

export const PIPE = 14;
const THINNEST = 0.8; // minimum width of a nonzero flow, so that it is visible
const CORNER = 8;

export function Pipes({ layout, numbers }: { layout: Layout; numbers: Numbers }) {
  const line = (points: Point[], kind: string, width: number) => (
    <path d={pathThrough(points)} class={`hs-${kind}`} fill="none" stroke-width={width} />
  );
  return (
    <>
      {layout.buses.map((points) => line(points, "bus", 1.5))}
      {layout.wires.map(({ points }) => line(points, "casing", PIPE + 2))}
      {layout.wires.map(({ points }) => line(points, "inside", PIPE))}
      {layout.wires.map(({ name, points }) => {
        const part = Math.min(1, Math.abs(numbers[name]) / (gateIn(name) ? 1 : numbers.largest));
        const width = part > 0 ? Math.max(THINNEST, PIPE * part) : 0;
        return (
          <path
            {...{ d: pathThrough(points), class: "hs-flow", fill: "none", "stroke-width": width }}
            stroke={flowColour(name, numbers[name])}
          />
        );
      })}
    </>
  );
}

/** The gate of a value between 0 and 1, which is coloured by it; null for other values. */
function gateIn(name: string): string | null {
  const gate = name === "write" ? "z" : name;
  return isSequential(gate) ? gate : null;
}

/** A gate's colour, or the sign's colour. */
export function flowColour(name: string, value: number): string {
  const gate = gateIn(name);
  if (gate) return `var(--q-${gate})`;
  return value < 0 ? "var(--minus)" : "var(--plus)";
}

/** A line through points, its corners rounded. */
function pathThrough(points: Point[]): string {
  const parts = points.slice(1).map((here, k) => {
    const next = points[k + 2];
    return next ? `L${towards(here, points[k], CORNER)}Q${here} ${towards(here, next, CORNER)}` : `L${here}`;
  });
  return `M${points[0]}${parts.join("")}`;
}

/** The point at a given distance from one point towards another. */
function towards([x, y]: Point, to: Point, distance: number): Point {
  const [dx, dy] = [to[0] - x, to[1] - y];
  const part = Math.min(1, distance / (Math.hypot(dx, dy) || 1));
  return [x + dx * part, y + dy * part];
}
