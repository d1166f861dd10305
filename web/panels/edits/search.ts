// Searches for an edit that changes a word's label.

import type { CellKind } from "studio/runtime/kinds.js";
import type { Work } from "studio/state/job.js";
import { findHead, predictionAt, quantityWidth } from "studio/state/run.js";
import type { Choice, Edit, Model, Run, Track } from "studio/types.js";

const OF_A_KIND = 4; // maximum number of finds per kind, so that edits of large groups leave room for small ones

export type Find = { edit: Edit; before: Choice; after: Choice };
type Candidate = { edit: Edit; weight: number };

function zeroed(place: string, unit: number | null, t: number | null): Edit {
  const [units, steps] = [unit, t].map((chosen) => (chosen === null ? null : [chosen]));
  return { place, kind: "set", value: 0, unit: units, t: steps, scope: "write" };
}

/** Zeroes the memory or the output of one unit at one step, the largest values first. */
const moments = (track: Track, steps: number, { states }: CellKind): Candidate[] =>
  states.flatMap((quantity) => {
    const width = quantityWidth(track.info, quantity);
    return Array.from({ length: steps * width }, (_, k) => ({
      edit: zeroed(`${track.info.name}.${quantity}`, k % width, Math.floor(k / width)),
      weight: Math.abs(track.values[quantity][k]),
    }));
  });

/** Zeroes one unit's output at every step, the most active units first. */
function units(track: Track, steps: number): Candidate[] {
  const H = track.info.outputs;
  return Array.from({ length: H }, (_, unit) => {
    let weight = 0;
    for (let t = 0; t < steps; t++) weight += Math.abs(track.values.h[t * H + unit]);
    return { edit: zeroed(`${track.info.name}.h`, unit, null), weight };
  });
}

/** Zeroes an open gate or a state in all units at one step. */
const wholeSteps = (track: Track, steps: number, cell: CellKind): Candidate[] =>
  [...openGates(cell), ...cell.states].flatMap((quantity) =>
    Array.from({ length: steps }, (_, t) => ({ edit: zeroed(`${track.info.name}.${quantity}`, null, t), weight: 0 })),
  );

/** Closes or fully opens whole gates. */
const gates = (track: Track, _steps: number, cell: CellKind): Candidate[] =>
  openGates(cell).flatMap((gate) =>
    [0, 1].map((value) => ({ edit: { ...zeroed(`${track.info.name}.${gate}`, null, null), value }, weight: 0 })),
  );

const openGates = ({ gates: all, activations }: CellKind): string[] =>
  all.filter((gate) => activations[gate] === "sigmoid");

/** All candidates, alternating between small and sweeping edits, each with the index of its kind. */
function candidates(run: Run, cell: CellKind): { edit: Edit; kind: number }[] {
  const kinds = [moments, units, wholeSteps, gates].map((kind) =>
    run.tracks.flatMap((track) => kind(track, run.steps, cell)).sort((a, b) => b.weight - a.weight),
  );
  const longest = Math.max(...kinds.map((kind) => kind.length));
  return Array.from({ length: longest }, (_, k) =>
    kinds.flatMap((all, kind) => (all[k] ? [{ edit: all[k].edit, kind }] : [])),
  ).flat();
}

/** How sweeping an edit is: the number of values that it affects; "all" counts as very many. */
export const editSize = (edit: Edit): number => (edit.unit?.length ?? 1e4) * (edit.t?.length ?? 1e3);

/** What a search is about: it looks for edits that change the label at step t. */
interface Question {
  model: Model;
  run: Run;
  head: string;
  t: number;
}

/** A search, until enough edits of each kind are found or all candidates are tried; it reports each attempt. */
export function searchEdits(
  { model, run, head, t }: Question,
  report: (tried: number, of: number, finds: Find[]) => void,
): Work<null> {
  const all = candidates(run, model.cell);
  return { steps: attempts(), cost: all.length };

  function* attempts(): Generator<number, null, void> {
    const ofKind: Map<number, number> = new Map(); // finds
    const finds: Find[] = [];
    let tried = 0;
    for (const { edit, kind } of all) {
      const count = ofKind.get(kind) ?? 0;
      if (count >= OF_A_KIND) continue;
      const [was, is] = [run, model.run(run.tokens, [...run.edits, edit])].map((one) => findHead(one, head));
      if (was && is && was.chosen[t] !== is.chosen[t]) {
        ofKind.set(kind, count + 1);
        finds.push({ edit, before: predictionAt(was, t), after: predictionAt(is, t) });
      }
      report(++tried, all.length, finds);
      yield 1;
    }
    return null;
  }
}
