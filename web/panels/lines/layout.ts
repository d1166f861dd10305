// The layout of the unit charts.

import { isSequential, roundedUp } from "studio/state/ranges.js";
import { memoryOf, valueAt } from "studio/state/units.js";
import type { Model, Run, Track } from "studio/types.js";

export type Band = { names: string[]; low: number; high: number; top: number; height: number };

export const LEFT = 88;
export const RIGHT = 84;
export const TOP = 8;
const GATES_HEIGHT = 50;
const MEMORY_HEIGHT = 66;
const BETWEEN = 12;
export const TOKENS_HEIGHT = 60;

/** The common scale of the charts of several units: the largest memory to show. */
export function chartReach(run: Run, track: Track, units: readonly number[]): number {
  const memory = memoryOf(track);
  const values = units.flatMap((unit) => run.tokens.map((_, t) => Math.abs(valueAt(track, memory, unit, t))));
  return roundedUp(values.reduce((most, value) => Math.max(most, value), 0));
}

export function bands({ quantities }: Model, reach: number): Band[] {
  const gates = quantities.filter(isSequential);
  const memory = quantities.filter((name) => !gates.includes(name));
  const above = gates.length > 0 ? GATES_HEIGHT + BETWEEN : 0;
  const open = { names: gates, low: 0, high: 1, top: TOP, height: GATES_HEIGHT };
  const signed = { names: memory, low: -reach, high: reach, top: TOP + above, height: MEMORY_HEIGHT };
  return gates.length > 0 ? [open, signed] : [signed];
}

export function xOf(t: number, width: number, steps: number) {
  return LEFT + ((t + 0.5) * (width - LEFT - RIGHT)) / Math.max(1, steps);
}

/**
 * @param width of the chart
 * @returns the step at x
 */
export function stepAt(x: number, width: number, steps: number): number | null {
  const step = Math.floor(((x - LEFT) * steps) / (width - LEFT - RIGHT));
  return step >= 0 && step < steps ? step : null;
}

export function yOf(value: number, { low, high, top, height }: Band) {
  const share = (Math.min(Math.max(value, low), high) - low) / (high - low);
  return top + height * (1 - (Number.isFinite(share) ? share : 0));
}
