// One unit at one step, with the numbers in the cell's equations, as in Python's Moment.

import { type CellKind, type CellLabel, activated } from "studio/runtime/kinds.js";
import { stateBefore } from "studio/runtime/states.js";
import { placeParts } from "studio/state/edits.js";
import { nextRound } from "studio/state/ranges.js";
import { memoryState, trackOf } from "studio/state/run.js";
import type { DotProduct, Model, Run, Track } from "studio/types.js";

export interface Moment {
  cell: CellKind;
  track: Track;
  unit: number;
  t: number;
  before: number | null; // the step read before this one; null if the run starts here
  after: number | null; // the step read next; null if the run ends here
  shown: string; // "h", or "m" if a projection mixes all units into h: the output of just this unit
  /** gates, states, the memory before (c_prev), what the equations have between them; NaN if that needs weights */
  values: Record<string, number>;
  sums: Record<string, DotProduct>; // behind each gate; empty without weights
  computed: Record<string, number>; // what the equation gives, for each value that an edit replaced
}

export const squashName = ({ activations }: CellKind, gate: string) =>
  activations[gate] === "sigmoid" ? "σ" : activations[gate];

/** The name of the state before a step: c_prev, h_prev. */
export const memoryBefore = ({ memory }: CellKind) => `${memory}_prev`;

/** Returns the steps read before and after a step, in the track's reading direction; null at either end. */
export function neighbours(track: Track, t: number, steps: number): { before: number | null; after: number | null } {
  const way = track.info.reverse ? -1 : 1;
  const inside = (k: number) => (k >= 0 && k < steps ? k : null);
  return { before: inside(t - way), after: inside(t + way) };
}

export function readMoment(model: Model, run: Run, trackName: string, unit: number, t: number): Moment {
  const { cell } = model;
  const track = trackOf(run, trackName);
  const { before, after } = neighbours(track, t, run.steps);
  const shown = projected(track) ? "m" : "h";
  const gates = model.hasWeights ? model.gates : [];
  const sums = Object.fromEntries(gates.map((gate) => [gate, model.dotProduct(run, trackName, gate, unit, t)]));
  const values = VALUES[cell.label](model, track, unit, t, sums);
  const moment = { cell, track, unit, t, before, after, shown, values, sums, computed: {} };
  return { ...moment, computed: replaced(moment, run) };
}

type Values = (model: Model, track: Track, unit: number, t: number, sums: Moment["sums"]) => Record<string, number>;

/** The numbers of a unit of an LSTM at one step. */
export function lstmValues(track: Track, unit: number, t: number) {
  const at = t * track.info.units + unit;
  const [i, f, g, o, c] = ["i", "f", "g", "o", "c"].map((quantity) => track.values[quantity][at]);
  const cPrev = stateBefore(track, "c", t)[unit];
  return { i, f, g, o, c_prev: cPrev, kept: f * cPrev, wrote: i * g, c, tanh: Math.tanh(c) };
}

const lstmShown: Values = (_model, track, unit, t) => {
  const values = lstmValues(track, unit, t);
  if (projected(track)) return { ...values, m: values.o * values.tanh };
  return { ...values, h: track.values.h[t * track.info.units + unit] };
};

const gruValues: Values = (_model, track, unit, t, sums) => {
  const [r, z, n, h] = ["r", "z", "n", "h"].map((quantity) => track.values[quantity][t * track.info.units + unit]);
  const hPrev = stateBefore(track, "h", t)[unit];
  const hidden = sums.n?.fromHidden ?? NaN;
  const between = { kept: z * hPrev, write: 1 - z, wrote: (1 - z) * n };
  return { r, z, n, h_prev: hPrev, n_h: hidden, n_rh: r * hidden, ...between, h };
};

const rnnValues: Values = ({ cell }, track, unit, t, sums) => {
  const h = track.values.h[t * track.info.units + unit];
  const { fromInput, fromHidden, sum } = sums.h ?? { fromInput: NaN, fromHidden: NaN, sum: unsquash(cell, "h", h) };
  return { h_prev: stateBefore(track, "h", t)[unit], from_x: fromInput, from_h: fromHidden, sum, h };
};

const VALUES: Record<CellLabel, Values> = { LSTM: lstmShown, GRU: gruValues, RNN: rnnValues };

/** The pre-activation that gives a gate this value; NaN if there are several. */
export function unsquash({ activations }: CellKind, gate: string, value: number): number {
  if (activations[gate] === "sigmoid") return Math.log(value / (1 - value));
  return activations[gate] === "tanh" ? Math.atanh(value) : value > 0 ? value : NaN;
}

const reaches: WeakMap<Track, Float32Array> = new WeakMap();

/** The largest memory of a unit in the whole run, rounded up: the scale of its pipes and bars at each step. */
export function memoryReach(track: Track, unit: number): number {
  const memory = memoryState(track);
  const known = reaches.get(track) ?? track.initial[memory].map(Math.abs);
  if (!reaches.has(track))
    track.values[memory].forEach((value, k) => {
      if (Math.abs(value) > known[k % known.length]) known[k % known.length] = Math.abs(value);
    });
  reaches.set(track, known);
  return nextRound(Math.max(1, known[unit]));
}

/** Returns a bound for the memory of a layer in the whole run, rounded up: 19 of 20 values are within it. */
export function mostReach(track: Track): number {
  const sizes = track.values[memoryState(track)].map(Math.abs).sort();
  return nextRound(sizes[Math.floor(0.95 * (sizes.length - 1))]);
}

/** Returns whether h is a projection, in which case its units are not the units of the gates. */
export const projected = (track: Track): boolean => track.info.outputs !== track.info.units;

/** What the equations give for each value that an edit replaced. */
function replaced(
  { cell, track, unit, t, values, sums, shown }: Moment,
  { edits, steps }: Run,
): Record<string, number> {
  const isIn = (chosen: number[] | null, k: number, size: number) =>
    chosen === null || chosen.includes(k) || chosen.includes(k - size);
  const mine = edits.filter(({ place, unit: units, t: at }) => {
    return placeParts(place).track === track.info.name && isIn(units, unit, track.info.units) && isIn(at, t, steps);
  });
  const quantities = mine.map(({ place }) => placeParts(place).quantity);
  const names = quantities.map((name) => cell.parts[name] ?? name.replace(/_pre$/, ""));
  const equations = {
    ...Object.fromEntries(Object.entries(sums).map(([gate, { sum }]) => [gate, activated(cell, gate, sum)])),
    ...(cell.isAdditive && { [cell.memory]: values.kept + values.wrote }),
    ...(cell.memory !== "h" && { [shown]: values.o * values.tanh }),
  };
  return Object.fromEntries(Object.entries(equations).filter(([name]) => names.includes(name)));
}
