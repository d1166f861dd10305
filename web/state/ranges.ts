// One absolute scale for each kind of value, the same in every panel and for every sentence.
//
// i, f, o, r and z range over 0..1, g and n over -1..1, and c and h up to their largest absolute value.

import { KINDS } from "studio/runtime/kinds.js";
import { reactive } from "studio/state/reactive.js";
import type { Run } from "studio/types.js";

const SEQUENTIAL_QUANTITIES = new Set(
  Object.values(KINDS).flatMap(({ gates, activations }) => gates.filter((gate) => activations[gate] === "sigmoid")),
);

/** how far the scale of a state reaches */
const stateRanges: Record<string, number> = {};
reactive(stateRanges, { c: 1, h: 1 });

/** Whether the values of a quantity range over 0..1. */
export const isSequential = (quantity: string): boolean => SEQUENTIAL_QUANTITIES.has(quantity);

/** Sets the scales of the states to the largest |c| and |h| of these runs, rounded up to 1, 1.5, 2, 3, ... */
export function fitStates(runs: readonly (Run | null)[]) {
  for (const state of Object.keys(stateRanges)) {
    stateRanges[state] = Math.max(...runs.map((run) => (run === null ? 1 : largest(run, state))), 1);
  }
}

const KNOWN_MAX: WeakMap<Run, Record<string, number>> = new WeakMap();

/** @returns its largest value rounded up to 1, 1.5, 2, 3, ... */
function largest(run: Run, state: string): number {
  const known = KNOWN_MAX.get(run) ?? {};
  if (known[state] === undefined) {
    let max = 0;
    for (const { values } of run.tracks) for (const value of values[state] ?? []) max = Math.max(max, Math.abs(value));
    known[state] = nextRound(Math.max(1, max));
    KNOWN_MAX.set(run, known);
  }
  return known[state];
}

export function range(quantity: string): [number, number] {
  if (isSequential(quantity)) return [0, 1];
  const reach = stateRanges[quantity] ?? 1;
  return [-reach, reach];
}

/** How far a quantity's scale reaches from zero in a run. */
export function scaleLimit(quantity: string, run: Run | null): number {
  const reach = stateRanges[quantity] ?? 1;
  return run === null || !(quantity in stateRanges) ? reach : Math.max(reach, largest(run, quantity));
}

/** Returns the next round number: 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten. */
export function nextRound(value: number): number {
  if (!(value > 0 && value < Infinity)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8].find((one) => one * power >= value) ?? 10;
  return Number((step * power).toPrecision(2));
}
