// The sweep: the target with every state of the other text patched into this one, one at a time.

import { MOST_ITEMS } from "studio/facts.js";
import { type Place, allPlaces, sweep, stateAt } from "studio/runtime/explain/sweep.js";
import { outputAt } from "studio/runtime/explain/target.js";
import { type Explained, subjectAt } from "studio/state/explained.js";
import { readInput } from "studio/state/input.js";
import type { Work } from "studio/state/job.js";
import { shortest, shortToken } from "studio/state/run.js";
import type { Subject, Edit } from "studio/types.js";
import { exactly } from "studio/ui/draw.js";

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
    const other = subjectAt(model, run, target.t - subject.lead);
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

/** The steps whose inputs differ; `b`: with the same number of steps. */
export function differing(a: Subject, b: Subject): number[] {
  const inputs = [a, b].map(({ tracks }) => tracks[0].input as Float32Array);
  const C = inputs[0].length / a.steps;
  return Array.from({ length: a.steps }, (_, t) => t).filter((t) => {
    const [one, two] = inputs.map((input) => input.subarray(t * C, (t + 1) * C));
    return a.tokens[t] !== b.tokens[t] || one.some((value, k) => value !== two[k]);
  });
}

export function sweepWork(pair: Pair): Work<Sweep> {
  const { subject, target } = pair.explained;
  const places = allPlaces(subject);
  return { steps: effects(), cost: places.length };

  function* effects() {
    const values = yield* sweep(subject, pair.other, target, places);
    return { pair, places, effects: values.map((value) => value - pair.whole) };
  }
}

export const pairSentence = ({ explained, whole, patched }: Pair): string =>
  `The ${explained.name} is ${exactly(whole)} here. In the other text, at the same step, it is ${exactly(patched)}: ` +
  `a difference of ${exactly(patched - whole)}.`;

export const MEANING =
  "Each cell patches one state of the other text (all units of c or h of that layer and direction, at that step) into the run " +
  "of this text, and shows how far the target moves. It is a real run with that one change, so it shows what this state " +
  "carries between these two texts. The cells do not add up, and prove nothing about other texts. Press a cell to see its run, with the patch as edits.";

export function cellSentence({ pair, places, effects }: Sweep, n: number): string {
  const { subject, name } = pair.explained;
  const { track, quantity, t } = places[n];
  const gap = pair.patched - pair.whole;
  const share = `, ${Math.round((100 * effects[n]) / gap)} % of the way to the other text`;
  const way = Math.abs(effects[n]) < 2 * Math.abs(gap) ? share : "";
  const moves = `moves the ${name} by ${exactly(effects[n])} to ${exactly(pair.whole + effects[n])}${way}.`;
  const { name: trackName, units } = subject.tracks[track].info;
  const press =
    units > MOST_ITEMS
      ? "It has too many units to be opened as edits."
      : "Press it to open the Read page with this edit.";
  const opens =
    sweepStep(pair, t) < 0 ? "It is before the text's first step, where the Read page has no edits." : press;
  const where = `${quantity} of ${trackName} at \u201c${shortToken(subject.tokens[t], 24)}\u201d`;
  return `${where}, patched in from the other text, ${moves} ${opens}`;
}

/** @returns the step of the run on the other pages; negative before its first */
const sweepStep = ({ explained }: Pair, t: number): number => t - explained.subject.lead;

/** A patch as edits: each unit is set to its value in the other text; empty if it can't be opened. */
export function patchEdits({ pair, places }: Sweep, n: number): Edit[] {
  const { track, quantity, t } = places[n];
  const step = sweepStep(pair, t);
  const values = stateAt(pair.other, track, quantity, t);
  if (step < 0 || values.length > MOST_ITEMS) return [];
  const place = `${pair.explained.subject.tracks[track].info.name}.${quantity}`;
  return Array.from(values, (value, unit) => {
    return { place, kind: "set", value: shortest(value), unit: [unit], t: [step], scope: "write" };
  });
}

export function sweepRows(sweep: Sweep | null): string[][] {
  if (sweep === null) return [];
  const { pair, places, effects } = sweep;
  const { tracks, tokens } = pair.explained.subject;
  const rows = places.map(({ track, quantity, t }, n) => {
    return [tracks[track].info.name, quantity, String(t), tokens[t], pair.other.tokens[t], String(effects[n])];
  });
  return [["track", "state", "step", "word", "other word", "effect"], ...rows];
}
