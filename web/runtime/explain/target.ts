// Targets: the number to explain, a logit or log-probability at a step, or a unit of a hidden state.

import { concatenated } from "studio/runtime/arrays.js";
import type { Reader, Readout, Subject, Track } from "studio/types.js";

export interface Target {
  t: number; // its step
  readout: Readout | null; // the target as a linear function of the outputs of step t; null for a log-probability
  of: (out: Float32Array) => number; // from outputs [D*P] of step t
}

/** The logit of a label; returns null if the label has none. */
export function logitTarget(reader: Reader, label: number, t: number): Target | null {
  const readout = reader.logit(label);
  return readout === null ? null : readoutTarget(readout, t);
}

/** The logarithm of a label's probability; returns null if it does not depend on a single step. */
export const probabilityTarget = ({ logProbability }: Reader, label: number, t: number): Target | null =>
  logProbability === null ? null : { t, readout: null, of: (out) => logProbability(out, label) };

/** A unit of the outputs: the hidden states of the last layer, with both directions concatenated. */
export function stateTarget(subject: Subject, unit: number, t: number): Target {
  const vector = new Float64Array(outputAt(subject, t).length);
  vector[unit] = 1;
  return readoutTarget({ vector, bias: 0 }, t);
}

function readoutTarget(readout: Readout, t: number): Target {
  const { vector, bias } = readout;
  const of = (out: Float32Array) => vector.reduce((sum, weight, k) => sum + weight * out[k], bias);
  return { t, readout, of };
}

/** The outputs of a step in the original run; returns [D*P]. */
export function outputAt({ tracks }: Subject, t: number): Float32Array {
  const outputs = ({ values, info: { outputs: P } }: Track) => values.h.subarray(t * P, (t + 1) * P);
  return concatenated(topTracks(tracks).map(outputs));
}

export function topTracks(tracks: Subject["tracks"]): Subject["tracks"] {
  const last = tracks[tracks.length - 1].info.layer;
  return tracks.filter(({ info }) => info.layer === last);
}

/** The steps that a direction reads up to step t, in reading order. */
export const readingOrder = (reverse: boolean, T: number, t: number): number[] =>
  reverse ? Array.from({ length: T - t }, (_, k) => T - 1 - k) : Array.from({ length: t + 1 }, (_, k) => k);
