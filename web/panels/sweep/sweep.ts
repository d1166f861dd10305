// The sweep: the target with every state of the other text patched into this one, one at a time.

import { type Place, allPlaces, sweep } from "studio/runtime/explain/sweep.js";
import { outputAt } from "studio/runtime/explain/target.js";
import { type Explained, subjectFor } from "studio/state/explained.js";
import { readInput } from "studio/state/input.js";
import type { Work } from "studio/state/job.js";
import type { Subject } from "studio/types.js";

/** Two texts with the same number of steps, and the target in both. */
export interface Pair {
  explained: Explained;
  other: Subject;
  whole: number; // the target in this text
  patched: number; // the target, read at the same step, in the other
}

export interface Sweep {
  pair: Pair;
  places: Place[]; // track by track, c before h, T each
  effects: Float64Array; // how far each moves the target
}

/** @param text the other one */
export function pairWith(
  explained: Explained,
  text: string,
): { pair: Pair; reason: "" } | { pair: null; reason: string } {
  const { model, subject, target } = explained;
  const no = (reason: string) => ({ pair: null, reason });
  if (subject.cells.length === 0)
    return no("A recorded trace has no weights and can't be run again, so nothing can be patched into it.");
  try {
    const run = readInput(model, text);
    if (run === null) return no("The other text is empty.");
    const other = subjectFor(model, run);
    if (other.steps !== subject.steps) {
      const [many, here] = [other.steps - other.lead, subject.steps - subject.lead];
      return no(`The other text has ${many} ${model.unit}s, but this one has ${here}. They must have the same number.`);
    }
    if (differing(subject, other).length === 0)
      return no(`The two texts are the same. Change a ${model.unit} in the other one.`);
    const read = (one: Subject) => target.of(outputAt(one, target.t));
    return { pair: { explained, other, whole: read(subject), patched: read(other) }, reason: "" };
  } catch (error) {
    return no(error instanceof Error ? error.message : String(error));
  }
}

/**
 * The steps whose inputs differ.
 *
 * @param b with the same number of steps
 */
export function differing(a: Subject, b: Subject): number[] {
  const inputs = [a, b].map(({ tracks }) => tracks[0].input as Float32Array);
  const C = inputs[0].length / a.steps;
  return Array.from({ length: a.steps }, (_, t) => t).filter((t) => {
    const [one, two] = inputs.map((input) => input.subarray(t * C, (t + 1) * C));
    return a.tokens[t] !== b.tokens[t] || one.some((value, k) => value !== two[k]);
  });
}

/** The work of a sweep, as a job. */
export function sweepWork(pair: Pair): Work<Sweep> {
  const { subject, target } = pair.explained;
  const places = allPlaces(subject);
  return { steps: effects(), cost: places.length };

  function* effects() {
    const values = yield* sweep(subject, pair.other, target, places);
    return { pair, places, effects: values.map((value) => value - pair.whole) };
  }
}
