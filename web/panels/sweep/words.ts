// A sweep in words, its numbers as rows, and a patch as edits.

import { MOST_ITEMS } from "studio/facts.js";
import type { Pair, Sweep } from "studio/panels/sweep/sweep.js";
import { stateAt } from "studio/runtime/explain/sweep.js";
import { shortToken } from "studio/state/tokens.js";
import type { Edit } from "studio/types.js";
import { exactly } from "studio/ui/draw.js";

export function pairSentence({ explained, whole, patched }: Pair): string {
  return (
    `The ${explained.name} is ${exactly(whole)} here. In the other text, at the same step, it is ${exactly(patched)}: ` +
    `a difference of ${exactly(patched - whole)}.`
  );
}

export const MEANING =
  "Each cell patches one state of the other text (all units of c or h of that layer and direction, at that step) into the run " +
  "of this text, and shows how far the target moves. It is a real run with that one change, so it shows what this state " +
  "carries between these two texts. The cells do not add up, and prove nothing about other texts. Press a cell to see its run, with the patch as edits.";

export function cellSentence({ pair, places, effects }: Sweep, n: number): string {
  const { subject, name } = pair.explained;
  const { track, quantity, t } = places[n];
  const gap = pair.patched - pair.whole;
  const way =
    Math.abs(effects[n]) < 2 * Math.abs(gap)
      ? `, ${Math.round((100 * effects[n]) / gap)} % of the way to the other text`
      : "";
  const moves = `moves the ${name} by ${exactly(effects[n])} to ${exactly(pair.whole + effects[n])}${way}.`;
  const where = `${quantity} of ${subject.tracks[track].info.name} at \u201c${shortToken(subject.tokens[t], 24)}\u201d`;
  return `${where}, patched in from the other text, ${moves} ${opensWhere(sweepStep(pair, t), subject.tracks[track].info)}`;
}

/** @returns the step of the run on the other pages; negative before its first */
function sweepStep({ explained }: Pair, t: number): number {
  return t - explained.subject.lead;
}

function opensWhere(step: number, { units }: { units: number }) {
  if (step < 0) return "It is before the text's first step, where the Read page has no edits.";
  return units > MOST_ITEMS
    ? "It has too many units to be opened as edits."
    : "Press it to open the Read page with this edit.";
}

/**
 * A patch as edits: each unit is set to its value in the other text.
 *
 * @returns empty if it can't be opened
 */
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

/** The shortest decimal that is the same float32. */
function shortest(value: number): number {
  for (let digits = 5; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
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
