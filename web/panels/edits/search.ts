// Searches for an edit that changes a word's label, a few runs at a time, so that the page stays responsive.

import type { CellKind } from "studio/runtime/kinds.js";
import { headOf, predictionAt } from "studio/state/predictions.js";
import { widthOf } from "studio/state/units.js";
import type { Choice, Edit, Model, Run, Track } from "studio/types.js";

const SLICE = 10; // milliseconds of work before yielding to the page
const OF_A_KIND = 4; // maximum number of finds per kind, so that edits of large groups leave room for small ones

export type Find = { edit: Edit; before: Choice; after: Choice };
type Candidate = { edit: Edit; weight: number };

function zeroed(place: string, unit: number | null, t: number | null): Edit {
  const [units, steps] = [unit, t].map((chosen) => (chosen === null ? null : [chosen]));
  return { place, kind: "set", value: 0, unit: units, t: steps, scope: "write" };
}

/** Zeroes the memory or the output of one unit at one step, the largest values first. */
function moments(track: Track, steps: number, { states }: CellKind): Candidate[] {
  return states.flatMap((quantity) => {
    const width = widthOf(track.info, quantity);
    return Array.from({ length: steps * width }, (_, k) => ({
      edit: zeroed(`${track.info.name}.${quantity}`, k % width, Math.floor(k / width)),
      weight: Math.abs(track.values[quantity][k]),
    }));
  });
}

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
function wholeSteps(track: Track, steps: number, cell: CellKind): Candidate[] {
  return [...openGates(cell), ...cell.states].flatMap((quantity) =>
    Array.from({ length: steps }, (_, t) => ({ edit: zeroed(`${track.info.name}.${quantity}`, null, t), weight: 0 })),
  );
}

/** Closes or fully opens whole gates. */
function gates(track: Track, _steps: number, cell: CellKind): Candidate[] {
  return openGates(cell).flatMap((gate) =>
    [0, 1].map((value) => ({ edit: { ...zeroed(`${track.info.name}.${gate}`, null, null), value }, weight: 0 })),
  );
}

/** The gates between 0 and 1. */
function openGates({ gates: all, activations }: CellKind): string[] {
  return all.filter((gate) => activations[gate] === "sigmoid");
}

/** All candidates, alternating between small and sweeping edits, each with the index of its kind. */
export function candidatesOf(run: Run, cell: CellKind): { edit: Edit; kind: number }[] {
  const kinds = [moments, units, wholeSteps, gates].map((kind) =>
    run.tracks.flatMap((track) => kind(track, run.steps, cell)).sort((a, b) => b.weight - a.weight),
  );
  const longest = Math.max(...kinds.map((kind) => kind.length));
  return Array.from({ length: longest }, (_, k) =>
    kinds.flatMap((all, kind) => (all[k] ? [{ edit: all[k].edit, kind }] : [])),
  ).flat();
}

/** How sweeping an edit is: the number of values that it affects; "all" counts as very many. */
export function sweepOf(edit: Edit): number {
  return (edit.unit?.length ?? 1e4) * (edit.t?.length ?? 1e3);
}

/**
 * Searches until enough edits of each kind are found, all candidates are tried, or the search is stopped.
 *
 * @param where the label to change
 * @returns stops it
 */
export function search(
  { model, run, head, t }: { model: Model; run: Run; head: string; t: number },
  onProgress: (tried: number, of: number, done: boolean) => void,
  onFind: (find: Find) => void,
): () => void {
  const candidates = candidatesOf(run, model.cell);
  const ofKind: Map<number, number> = new Map(); // finds
  const countOf = (kind: number) => ofKind.get(kind) ?? 0;
  let next = 0;
  let tried = 0;
  let timer = 0;

  const skip = () => {
    while (next < candidates.length && countOf(candidates[next].kind) >= OF_A_KIND) next++;
  };
  const attempt = () => {
    const { edit, kind } = candidates[next++];
    tried++;
    const [was, is] = [run, model.run(run.tokens, [...run.edits, edit])].map((one) => headOf(one, head));
    if (!was || !is || was.chosen[t] === is.chosen[t]) return;
    ofKind.set(kind, countOf(kind) + 1);
    onFind({ edit, before: predictionAt(was, t), after: predictionAt(is, t) });
  };
  const slice = () => {
    const end = performance.now() + SLICE;
    while (next < candidates.length && performance.now() < end) {
      attempt();
      skip();
    }
    const done = next >= candidates.length;
    onProgress(tried, candidates.length, done);
    if (!done) timer = window.setTimeout(slice);
  };
  timer = window.setTimeout(slice);
  return () => window.clearTimeout(timer);
}
