// Draws wires as pipes: a pipe is as wide as the largest possible value, and the flow in it is as wide as the value.
// The numbers of a step that the user watches travel along the wires as small labels.

import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { animate, type Layout, type Numbers, type Point } from "studio/panels/microscope/tween.js";
import { isSequential } from "studio/state/ranges.js";
import { useApp } from "studio/ui/app.js";

export const PIPE = 14;
const THINNEST = 0.8; // minimum width of a nonzero flow, so that it is visible
const CORNER = 8;
const LABEL = { width: 38, height: 17 };
const JOURNEY = 800; // duration in milliseconds, if there is time

export function Pipes({ layout, numbers }: { layout: Layout; numbers: ReadonlySignal<Numbers> }) {
  const line = (points: Point[], kind: string, width: number) => (
    <path d={pathThrough(points)} class={`hs-${kind}`} fill="none" stroke-width={width} />
  );
  return (
    <>
      {layout.buses.map((points) => line(points, "bus", 1.5))}
      {layout.wires.map(({ points }) => line(points, "casing", PIPE + 2))}
      {layout.wires.map(({ points }) => line(points, "inside", PIPE))}
      <Flows layout={layout} numbers={numbers} />
    </>
  );
}

function Flows({ layout, numbers }: { layout: Layout; numbers: ReadonlySignal<Numbers> }) {
  const { value: now } = numbers;
  return (
    <>
      {layout.wires.map(({ name, points }) => {
        const part = Math.min(1, Math.abs(now[name]) / (gateIn(name) ? 1 : now.largest));
        const width = part > 0 ? Math.max(THINNEST, PIPE * part) : 0;
        return (
          <path
            {...{ d: pathThrough(points), class: "hs-flow", fill: "none", "stroke-width": width }}
            stroke={flowColour(name, now[name])}
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

interface TokensProps {
  layout: Layout;
  times: Record<string, [number, number]>; // when each number moves, as fractions of the whole time
  values: Numbers;
  isPlaying: boolean;
}

export function Tokens({ layout, times, values, isPlaying }: TokensProps) {
  const { player } = useApp();
  const part = useSignal(1); // of the journey
  useLayoutEffect(() => {
    const time = player.playing ? player.pace : Infinity;
    return animate(isPlaying ? Math.min(JOURNEY, 0.9 * time) : 0, (now) => (part.value = now));
  }, [values]);
  return (
    <g class="hs-tokens" aria-hidden="true">
      {layout.wires.map(({ name, points }) => {
        const [begin, end] = times[name];
        const isAway = part.value === 1 || part.value < begin || part.value > end;
        const [x, y] = along(points, isAway ? 0 : (part.value - begin) / (end - begin));
        const value = values[name] ?? values.m;
        return (
          <g class="hs-token" display={isAway ? "none" : "inline"} transform={`translate(${x} ${y})`}>
            <rect
              {...{ x: -LABEL.width / 2, y: -LABEL.height / 2, rx: LABEL.height / 2, ...LABEL }}
              stroke={flowColour(name, value)}
            />
            <text text-anchor="middle" y={4}>
              {value.toFixed(2)}
            </text>
          </g>
        );
      })}
    </g>
  );
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

/** The point at a given fraction of the way along a line; `part`: 0..1. */
function along(points: Point[], part: number): Point {
  const lengths = points.slice(1).map((end, k) => Math.hypot(end[0] - points[k][0], end[1] - points[k][1]));
  let left = part * lengths.reduce((sum, length) => sum + length, 0);
  let k = 0;
  while (k < lengths.length - 1 && left > lengths[k]) left -= lengths[k++];
  return towards(points[k], points[k + 1], left);
}
