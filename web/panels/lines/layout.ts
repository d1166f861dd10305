// The layout of the unit charts.

import { isSequential, roundedUp } from "studio/state/ranges.js";
import { shortToken } from "studio/state/tokens.js";
import { memoryState, valueAt } from "studio/state/units.js";
import type { Model, Run, Track } from "studio/types.js";

export type Band = { names: string[]; low: number; high: number; top: number; height: number };

export const LEFT = 88;
export const RIGHT = 84;
export const TOP = 8;
export const TOKENS_HEIGHT = 60;
const GATES_HEIGHT = 50;
const MEMORY_HEIGHT = 66;
const BETWEEN = 12;
const CLOSE = 14; // minimum pixels between tokens, if each step has one
const LOOSE = 18; // minimum pixels between tokens, if some steps have none

/** The common scale of the charts of several units: the largest memory to show. */
export function chartReach(run: Run, track: Track, units: readonly number[]): number {
  const memory = memoryState(track);
  const values = units.flatMap((unit) => run.tokens.map((_, t) => Math.abs(valueAt(track, memory, unit, t))));
  return roundedUp(values.reduce((most, value) => Math.max(most, value), 0));
}

/** The gates, if there are any, above the candidate and the states. */
export function bands({ quantities }: Model, reach: number): Band[] {
  const gates = quantities.filter(isSequential);
  const memory = quantities.filter((name) => !gates.includes(name));
  const above = gates.length > 0 ? GATES_HEIGHT + BETWEEN : 0;
  const open = { names: gates, low: 0, high: 1, top: TOP, height: GATES_HEIGHT };
  const signed = { names: memory, low: -reach, high: reach, top: TOP + above, height: MEMORY_HEIGHT };
  return gates.length > 0 ? [open, signed] : [signed];
}

export function stepX(t: number, width: number, steps: number) {
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

export function valueY(value: number, { low, high, top, height }: Band) {
  const share = (Math.min(Math.max(value, low), high) - low) / (high - low);
  return top + height * (1 - (Number.isFinite(share) ? share : 0));
}

/** The tokens below a chart, as many as there is room for. They are slanted, unless they are characters. */
export function tokenTicks({ tokens, steps }: Pick<Run, "tokens" | "steps">, width: number) {
  const pitch = (width - LEFT - RIGHT) / Math.max(1, steps);
  const every = pitch >= CLOSE ? 1 : Math.ceil(LOOSE / pitch);
  const isSlanted = tokens.some((token) => shortToken(token, 2).length > 1);
  return tokens.flatMap((token, t) => {
    const x = stepX(t, width, steps) + (isSlanted ? 3 : 0);
    return t % every === 0 ? [{ x, word: shortToken(token, 11), isSlanted }] : [];
  });
}
