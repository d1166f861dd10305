// Computes the effect of edits: compares the same sentence before and after, word by word and step by step.

import { headOf, predictionAt } from "studio/state/predictions.js";

/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Head} Head */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/types.js").Choice} Choice */

// Smaller differences count as rounding errors, for float32 numbers near 1.
export const SAME = 1e-6;

/**
 * One word before and after. `moved` is the probability that moved to other labels.
 * @typedef {object} Word
 * @property {number} t
 * @property {string} token
 * @property {Choice | null} before
 * @property {Choice | null} after
 * @property {number} moved
 * @property {boolean} changed whether the most probable label changed
 */

/**
 * How far one layer and direction moved. `first` is the first step that differs, in the track's reading order, or -1 if
 * none does.
 * @typedef {object} Distance
 * @property {TrackInfo} info
 * @property {Float32Array} size [T] max |Δh|
 * @property {number} first
 */

/**
 * @typedef {object} Difference
 * @property {Word[]} words
 * @property {Distance[]} tracks
 * @property {number} first the first step, in input order, whose prediction differs (-1: none); without
 *     predictions, whose output does
 * @property {number} changed how many words have a different label
 */

/**
 * Returns the total variation distance of two distributions: half the sum of absolute differences.
 * @param {Head} a
 * @param {number} s step of a
 * @param {Head} b
 * @param {number} t step of b
 * @returns {number}
 */
export function movedShare(a, s, b, t) {
  const K = a.labels.length;
  let sum = 0;
  for (let k = 0; k < K; k++) sum += Math.abs(a.probabilities[s * K + k] - b.probabilities[t * K + k]);
  return sum / 2;
}

/**
 * Returns max |Δ| over the units, at each step.
 * @param {Float32Array} before [T, H]
 * @param {Float32Array} after [T, H]
 * @param {number} steps
 * @returns {Float32Array}
 */
export function largest(before, after, steps) {
  const units = steps ? before.length / steps : 0;
  const size = new Float32Array(steps);
  for (let t = 0; t < steps; t++) {
    for (let k = t * units; k < (t + 1) * units; k++) size[t] = Math.max(size[t], Math.abs(after[k] - before[k]));
  }
  return size;
}

/**
 * Returns the first step in reading order at which a size exceeds rounding; -1 if none does.
 * @param {ArrayLike<number>} size
 * @param {boolean} reverse
 * @returns {number}
 */
export function firstOf(size, reverse) {
  const steps = Array.from(size, (_, t) => t);
  if (reverse) steps.reverse();
  return steps.find((t) => size[t] > SAME) ?? -1;
}

/**
 * @param {Track} before
 * @param {Track} after
 * @param {number} steps
 * @returns {Distance}
 */
function distanceOf(before, after, steps) {
  const size = largest(before.values.h, after.values.h, steps);
  return { info: before.info, size, first: firstOf(size, before.info.reverse) };
}

/**
 * @param {string[]} tokens
 * @param {Head | null} was
 * @param {Head | null} is
 * @returns {Word[]}
 */
function wordsOf(tokens, was, is) {
  return tokens.map((token, t) => {
    if (!was || !is) return { t, token, before: null, after: null, moved: 0, changed: false };
    const pair = { before: predictionAt(was, t), after: predictionAt(is, t), moved: movedShare(was, t, is, t) };
    return { t, token, ...pair, changed: was.chosen[t] !== is.chosen[t] };
  });
}

/**
 * Returns the largest difference in the last layer at each step, over both directions.
 * @param {Distance[]} tracks
 * @param {number} steps
 * @returns {number[]}
 */
function outputSizes(tracks, steps) {
  const last = Math.max(...tracks.map(({ info }) => info.layer));
  const top = tracks.filter(({ info }) => info.layer === last);
  return Array.from({ length: steps }, (_, t) => Math.max(...top.map(({ size }) => size[t])));
}

/**
 * Compares two runs of one model over the same tokens.
 * @param {Run} before
 * @param {Run} after
 * @param {string} name of the head to compare
 * @returns {Difference}
 */
export function differenceOf(before, after, name) {
  const was = headOf(before, name);
  const is = headOf(after, name);
  const words = wordsOf(after.tokens, was, is);
  const tracks = before.tracks.map((track, k) => distanceOf(track, after.tracks[k], after.steps));
  const sizes = was ? words.map((word) => word.moved) : outputSizes(tracks, after.steps);
  return { words, tracks, first: firstOf(sizes, false), changed: words.filter((word) => word.changed).length };
}
