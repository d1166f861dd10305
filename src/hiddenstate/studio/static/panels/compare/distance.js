// How far two runs are apart, column by column, and where they part and meet.

import { SAME } from "studio/state/difference.js";
import { widthOf } from "studio/state/units.js";

/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/panels/compare/align.js").Column} Column */

// A run has met the other again when it stays below this share of their greatest distance.
export const MET = 0.1;

/**
 * Indices are of columns, -1 for none; all in the order in which the track reads.
 * @typedef {object} Parting
 * @property {number} first the first column in which they differ
 * @property {number} widest where they are furthest apart
 * @property {number} meets from where on they stay below MET of their greatest distance
 * @property {number} last the last column that both have
 */

/**
 * The Euclidean distance of a state's vectors in each column; NaN where one of them has no step there.
 * @param {Track} a
 * @param {Track} b
 * @param {string} quantity
 * @param {Column[]} columns
 * @returns {Float32Array}
 */
export function distances(a, b, quantity, columns) {
  const units = widthOf(a.info, quantity);
  const [va, vb] = [a.values[quantity], b.values[quantity]];
  return Float32Array.from(columns, (column) => {
    if (column.a < 0 || column.b < 0) return NaN;
    let sum = 0;
    for (let k = 0; k < units; k++) sum += (va[column.a * units + k] - vb[column.b * units + k]) ** 2;
    return Math.sqrt(sum);
  });
}

/**
 * Whether the units of two tracks can be told apart by number.
 * @param {Track | undefined} a
 * @param {Track | undefined} b
 * @returns {boolean}
 */
export function comparable(a, b) {
  return a !== undefined && b !== undefined && a.info.units === b.info.units && a.info.outputs === b.info.outputs;
}

/**
 * Find where two runs part and whether they meet again.
 * @param {ArrayLike<number>} distance by column
 * @param {boolean} reverse
 * @returns {Parting}
 */
export function partingOf(distance, reverse) {
  const columns = Array.from(distance, (_, k) => k).filter((k) => !Number.isNaN(distance[k]));
  if (reverse) columns.reverse();
  const first = columns.find((k) => distance[k] > SAME) ?? -1;
  const widest = columns.reduce((best, k) => (best < 0 || distance[k] > distance[best] ? k : best), -1);
  return {
    first,
    widest,
    meets: first < 0 ? -1 : meeting(columns, distance, distance[widest] * MET),
    last: columns.at(-1) ?? -1,
  };
}

/**
 * The first column of the last stretch that stays below a bound to the end, if it lies behind one that does not.
 * @param {number[]} columns
 * @param {ArrayLike<number>} distance
 * @param {number} bound
 * @returns {number}
 */
function meeting(columns, distance, bound) {
  const far = columns.findLastIndex((k) => distance[k] > bound);
  return columns[far + 1] ?? -1;
}
