// Computes which steps wrote a memory: c_t = Σ_s (Π_{r>s} keep_r)·written_s + (Π keep)·c_0, as in
// hiddenstate.explain.ledger. An LSTM keeps f and writes i·g; a GRU, whose memory is h, keeps z and writes (1-z)·n.

import { readingOrder } from "studio/runtime/explain/target.js";
import { stateBefore } from "studio/runtime/states.js";
import type { Readout, Subject, Track } from "studio/types.js";

/** One unit of a memory at a step, after S steps, which were read in the order of `steps`. */
export interface Ledger {
  t: number;
  steps: number[]; // the last is t
  written: Float64Array; // [S]
  forget: Float64Array; // [S] the share of the memory that each step keeps: f, or z of a GRU
  kept: Float64Array; // [S] the share that remains at t: the product of the shares kept since
  parts: Float64Array; // [S] the part that remains at t: written·kept
  initial: number; // the part of the initial state that remains
  value: number; // the memory at t
  residual: number; // value minus the sum: the rounding error
  effect: number; // how much each unit of memory adds to the target at t; NaN if the target is not linear
}

/**
 * @param k the track's place among them
 * @param readout the target as a linear function of the outputs of step t, if it is one
 */
export function memoryLedger(subject: Subject, k: number, unit: number, t: number, readout: Readout | null): Ledger {
  const track = subject.tracks[k];
  const steps = readingOrder(track.info.reverse, subject.steps, t);
  const places = steps.map((step) => step * track.info.units + unit);
  const splits = places.map((at) => subject.cell.split(track.values, at));
  const keep = Float64Array.from(splits, (one) => one.keep);
  const written = Float64Array.from(splits, (one) => one.written);
  const kept = new Float64Array(keep.length).fill(1);
  for (let s = keep.length - 2; s >= 0; s--) kept[s] = kept[s + 1] * keep[s + 1];
  const parts = written.map((value, s) => value * kept[s]);
  const initial = track.initial[subject.cell.memory][unit] * keep[0] * kept[0];
  const value = track.values[subject.cell.memory][places[places.length - 1]];
  const sum = parts.reduce((total, part) => total + part, initial);
  const effect = readout === null ? NaN : memoryEffects(subject, k, t, readout)[unit];
  return { t, steps, written, forget: keep, kept, parts, initial, value, residual: value - sum, effect };
}

/** The share of what a step wrote that remains at each later step; 1 at the step itself [S - s]. */
export function keptAfter({ forget }: Pick<Ledger, "forget">, s: number): Float64Array {
  const shares = new Float64Array(forget.length - s).fill(1);
  for (let k = 1; k < shares.length; k++) shares[k] = shares[k - 1] * forget[s + k];
  return shares;
}

/** The later step that erased most of what a step wrote, as an index in reading order; -1 if nothing was erased. */
export function erasedMostAt(ledger: Pick<Ledger, "forget">, s: number): number {
  const shares = keptAfter(ledger, s);
  let [at, most] = [-1, 0];
  for (let k = 1; k < shares.length; k++) {
    if (shares[k - 1] - shares[k] > most) [at, most] = [s + k, shares[k - 1] - shares[k]];
  }
  return at;
}

/**
 * How much each unit of memory adds to the target at step t: for an LSTM o·tanh(c)/c, for a GRU 1, times its readout
 * weight.
 *
 * @returns [H]; NaN below the last layer, which the target does not read directly, and without weights
 */
function memoryEffects({ tracks, cells, cell }: Subject, k: number, t: number, readout: Readout): Float64Array {
  const { info, values } = tracks[k];
  const H = info.units;
  const last = tracks[tracks.length - 1].info.layer;
  const reads = info.layer === last ? readSteps(readout, info, cells[k]?.weights.weight_hr ?? null) : null;
  if (reads === null) return new Float64Array(H).fill(NaN);
  return reads.map((weight, u) => cell.split(values, t * H + u).show * weight);
}

/** `projection`: [P, H]; returns [H] the readout weight of each unit's o·tanh(c); null if the projection is unknown */
function readSteps({ vector }: Readout, info: Track["info"], projection: Float32Array | null): Float64Array | null {
  const { units, outputs, reverse } = info;
  const own = vector.subarray(reverse ? outputs : 0, (reverse ? outputs : 0) + outputs);
  if (projection === null) return units === outputs ? Float64Array.from(own) : null;
  return Float64Array.from({ length: units }, (_, u) =>
    own.reduce((sum, weight, p) => sum + weight * projection[p * units + u], 0),
  );
}

/** The contribution to the target of what each step wrote, over all units that the target reads. */
export interface TargetLedger {
  parts: Float64Array; // [T]
  initial: number;
  bias: number;
  value: number;
  residual: number;
}

export function targetLedger(subject: Subject, t: number, readout: Readout): TargetLedger {
  const parts = new Float64Array(subject.steps);
  let [initial, value] = [0, readout.bias];
  subject.tracks.forEach(({ info, values }, k) => {
    const effects = memoryEffects(subject, k, t, readout);
    if (Number.isNaN(effects[0])) return;
    for (let unit = 0; unit < info.units; unit++) {
      const one = memoryLedger(subject, k, unit, t, null);
      one.steps.forEach((step, s) => (parts[step] += one.parts[s] * effects[unit]));
      initial += one.initial * effects[unit];
    }
    const from = info.reverse ? info.outputs : 0;
    for (let p = 0; p < info.outputs; p++) value += values.h[t * info.outputs + p] * readout.vector[from + p];
  });
  const sum = parts.reduce((total, part) => total + part, initial + readout.bias);
  return { parts, initial, bias: readout.bias, value, residual: value - sum };
}

/**
 * The memory of the last layer in which the parts of other steps change the target most, in either direction. If
 * nothing remains of other steps, the part of step t itself decides.
 */
export function mostTelling(subject: Subject, t: number, readout: Readout): { k: number; unit: number } | null {
  const { cell } = subject;
  const { memory } = cell;
  const carried = largest(subject, t, readout, (track) => {
    const first = t * track.info.units;
    return stateBefore(track, memory, t).map((value, unit) => value * cell.split(track.values, first + unit).keep);
  });
  if (carried && carried.size > 0) return carried;
  const here = ({ values, info: { units } }: Track) => values[memory].subarray(t * units, (t + 1) * units);
  return largest(subject, t, readout, here);
}

/** @param memory the part of each unit's memory to rank by */
function largest(subject: Subject, t: number, readout: Readout, memory: (track: Track) => ArrayLike<number>) {
  let most = null as { k: number; unit: number; size: number } | null;
  subject.tracks.forEach((track, k) => {
    const counted = memory(track);
    memoryEffects(subject, k, t, readout).forEach((effect, unit) => {
      const size = Math.abs(effect * counted[unit]);
      if (size > (most?.size ?? -1)) most = { k, unit, size };
    });
  });
  return most;
}
