// Which edits apply to a run, and their effect: the same sentence before and after, word by word and step by step.

import { findHead, predictionAt, quantityWidth } from "studio/state/run.js";
import type { Choice, Edit, Head, Model, Run, TrackInfo } from "studio/types.js";

/** Splits a place, "l1r.f_pre", into its track and its quantity. */
export function placeParts(place: string): { track: string; quantity: string } {
  const dot = place.indexOf(".");
  return { track: place.slice(0, dot), quantity: place.slice(dot + 1) };
}

/** Returns the first chosen index that does not exist; negative ones count from the end. */
const missing = (chosen: readonly number[] | null, size: number): number | undefined =>
  chosen?.find((k) => k >= size || k < -size);

/** Why an edit can't apply to a run with this many steps, called `unit`s; "" if it can. */
export function restingReason(edit: Edit, model: Model, steps: number, unit: string = model.unit): string {
  const { track, quantity } = placeParts(edit.place);
  const info = model.tracks.find((one) => one.name === track);
  if (!model.hasWeights) return "a recorded trace has no weights and can't be run again";
  if (!info) return `this model has no ${track}`;
  if (!model.quantities.includes(quantity.replace(/_pre$/, ""))) return `this model has no ${quantity}`;
  const width = quantityWidth(info, quantity);
  const noUnit = missing(edit.unit, width);
  if (noUnit !== undefined) return `${edit.place} has no unit ${noUnit}, only 0 to ${width - 1}`;
  const noStep = missing(edit.t, steps);
  if (noStep !== undefined) return `there is no step ${noStep} here: the last ${unit} is step ${steps - 1}`;
  return "";
}

export const inForce = (edits: readonly Edit[], model: Model, steps: number): Edit[] =>
  edits.filter((edit) => restingReason(edit, model, steps) === "");

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
