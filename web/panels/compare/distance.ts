// The distance between two runs, column by column, and where they diverge and converge.

import type { Column } from "studio/panels/compare/align.js";
import { SAME } from "studio/state/difference.js";
import { quantityWidth } from "studio/state/units.js";
import type { Track } from "studio/types.js";

// Two runs have converged again once their distance stays below this share of its maximum.
export const MET = 0.1;

/** Indices of columns in the track's reading order; -1 if there is none. */
export interface Parting {
  first: number; // the first column in which they differ
  widest: number; // the column of the greatest distance
  meets: number; // the column from which they stay below MET of their greatest distance
  last: number; // the last column that both have
}

/** The Euclidean distance between two runs' states in each column; NaN if either run has no step there. */
export function distances(a: Track, b: Track, quantity: string, columns: Column[]): Float32Array {
  const units = quantityWidth(a.info, quantity);
  const [va, vb] = [a.values[quantity], b.values[quantity]];
  return Float32Array.from(columns, (column) => {
    if (column.a < 0 || column.b < 0) return NaN;
    let sum = 0;
    for (let k = 0; k < units; k++) sum += (va[column.a * units + k] - vb[column.b * units + k]) ** 2;
    return Math.sqrt(sum);
  });
}

/** Whether two tracks have the same number of units. */
export function comparable(a: Track | undefined, b: Track | undefined): boolean {
  return a !== undefined && b !== undefined && a.info.units === b.info.units && a.info.outputs === b.info.outputs;
}

/**
 * Finds where two runs diverge and whether they converge again.
 *
 * @param distance by column
 */
export function parting(distance: ArrayLike<number>, reverse: boolean): Parting {
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

/** The first column from which the distance stays below a bound to the end, if some earlier column is above it. */
function meeting(columns: number[], distance: ArrayLike<number>, bound: number): number {
  const far = columns.findLastIndex((k) => distance[k] > bound);
  return columns[far + 1] ?? -1;
}
