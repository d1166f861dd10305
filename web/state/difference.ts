// Computes the effect of edits: compares the same sentence before and after, word by word and step by step.

import { findHead, predictionAt } from "studio/state/run.js";
import type { Choice, Head, Run, TrackInfo } from "studio/types.js";

// Smaller differences count as rounding errors, for float32 numbers near 1.
export const SAME = 1e-6;

/** One word before and after. `moved` is the probability that moved to other labels. */
export interface Word {
  t: number;
  token: string;
  before: Choice | null;
  after: Choice | null;
  moved: number;
  changed: boolean; // whether the most probable label changed
}

/** How far one layer and direction moved; `first`: the first step, in reading order, that differs, or -1. */
export interface Distance {
  info: TrackInfo;
  size: Float32Array; // [T] max |Δh|
  first: number;
}

export interface Difference {
  words: Word[];
  tracks: Distance[];
  /** the first step, in input order, whose prediction differs (-1: none); without predictions, whose output does */
  first: number;
  changed: number; // how many words have a different label
}

/** The total variation distance of step s of a and t of b: half the sum of absolute differences. */
function movedShare(a: Head, s: number, b: Head, t: number): number {
  const K = a.labels.length;
  let sum = 0;
  for (let k = 0; k < K; k++) sum += Math.abs(a.probabilities[s * K + k] - b.probabilities[t * K + k]);
  return sum / 2;
}

/** Returns max |Δ| over the units, at each step; `before`: [T, H]; `after`: [T, H]. */
export function largest(before: Float32Array, after: Float32Array, steps: number): Float32Array {
  const units = steps ? before.length / steps : 0;
  const size = new Float32Array(steps);
  for (let t = 0; t < steps; t++) {
    for (let k = t * units; k < (t + 1) * units; k++) size[t] = Math.max(size[t], Math.abs(after[k] - before[k]));
  }
  return size;
}

/** Returns the first step in reading order at which a size exceeds rounding; -1 if none does. */
export function firstDifferent(size: ArrayLike<number>, reverse: boolean): number {
  const steps = Array.from(size, (_, t) => t);
  if (reverse) steps.reverse();
  return steps.find((t) => size[t] > SAME) ?? -1;
}

const comparedWords = (tokens: string[], was: Head | null, is: Head | null): Word[] =>
  tokens.map((token, t) => {
    if (!was || !is) return { t, token, before: null, after: null, moved: 0, changed: false };
    const pair = { before: predictionAt(was, t), after: predictionAt(is, t), moved: movedShare(was, t, is, t) };
    return { t, token, ...pair, changed: was.chosen[t] !== is.chosen[t] };
  });

/** Returns the largest difference in the last layer at each step, over both directions. */
function outputSizes(tracks: Distance[], steps: number): number[] {
  const last = Math.max(...tracks.map(({ info }) => info.layer));
  const top = tracks.filter(({ info }) => info.layer === last);
  return Array.from({ length: steps }, (_, t) => Math.max(...top.map(({ size }) => size[t])));
}

/** Compares two runs of one model over the same tokens; `name`: of the head to compare. */
export function compareRuns(before: Run, after: Run, name: string): Difference {
  const was = findHead(before, name);
  const is = findHead(after, name);
  const words = comparedWords(after.tokens, was, is);
  const tracks = before.tracks.map(({ info, values }, k) => {
    const size = largest(values.h, after.tracks[k].values.h, after.steps);
    return { info, size, first: firstDifferent(size, info.reverse) };
  });
  const sizes = was ? words.map((word) => word.moved) : outputSizes(tracks, after.steps);
  return { words, tracks, first: firstDifferent(sizes, false), changed: words.filter((word) => word.changed).length };
}
