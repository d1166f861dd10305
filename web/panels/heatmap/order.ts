// The order of the heat map's units.

import { findHead, meanChanges, quantityWidth } from "studio/state/run.js";
import type { Run, Track, View } from "studio/types.js";

const TURNS = 60; // steps of the power iteration; more would not visibly change the order

/** Units from top to bottom, and what explains a unit's rank. */
export function ordered(run: Run, track: Track, view: View) {
  const { quantity, sort } = view;
  const units = Array.from({ length: quantityWidth(track.info, quantity) }, (_, unit) => unit);
  if (sort === "cluster") return { order: byLikeness(unitSeries(track, quantity, run.steps)), about: () => "" };
  const score = scores(run, track, view);
  if (score === null) return { order: units, about: () => "" };
  const about = (unit: number) => `${score.name} ${score.values[unit].toFixed(2)}`;
  return { order: units.sort((a, b) => score.values[b] - score.values[a] || a - b), about };
}

function scores(run: Run, track: Track, { quantity, sort, head: headName }: View) {
  if (sort === "change") return { name: "mean change", values: meanChanges(track, quantity) };
  const head = findHead(run, headName);
  const label = sort.startsWith("tag:") ? sort.slice(4) : "";
  const k = head?.labels.indexOf(label) ?? -1;
  if (head === null || k < 0) return null;
  const wanted = Float64Array.from(head.chosen, (chosen) => (chosen === k ? 1 : 0));
  return { name: `r with ${label}`, values: correlations(unitSeries(track, quantity, run.steps), wanted) };
}

function unitSeries(track: Track, quantity: string, T: number): Float64Array[] {
  const values = track.values[quantity];
  const width = quantityWidth(track.info, quantity);
  return Array.from({ length: width }, (_, unit) =>
    Float64Array.from({ length: T }, (__, t) => values[t * width + unit]),
  );
}

/** Pearson's r between each row and the target values; 0 if either is constant. */
export function correlations(rows: Float64Array[], wanted: Float64Array): Float64Array {
  const target = standardised(wanted);
  return Float64Array.from(rows, (row) => dot(standardised(row), target));
}

/** Puts similar rows together: by their angle in the plane of two principal directions, cut at the widest gap. */
export function byLikeness(rows: Float64Array[]): number[] {
  if (rows.length < 3) return rows.map((_, k) => k);
  const all = rows.map(standardised);
  const first = principal(all, null);
  const second = principal(all, first);
  const angles = all.map((row) => Math.atan2(dot(row, second), dot(row, first)));
  const order = angles.map((_, k) => k).sort((a, b) => angles[a] - angles[b] || a - b);
  const gap = (k: number) => {
    const before = angles[order[(k + order.length - 1) % order.length]];
    return (angles[order[k]] - before + 2 * Math.PI) % (2 * Math.PI);
  };
  let start = 0;
  for (let k = 1; k < order.length; k += 1) if (gap(k) > gap(start)) start = k;
  return [...order.slice(start), ...order.slice(0, start)];
}

/** The direction in which rows differ most, orthogonal to another. */
function principal(rows: Float64Array[], besides: Float64Array | null): Float64Array {
  let now = Float64Array.from({ length: rows[0].length }, (_, t) => Math.sin(1 + t * (besides ? 2.3 : 1.7)));
  for (let turn = 0; turn < TURNS; turn += 1) {
    const along = besides ? dot(now, besides) : 0;
    if (besides) now = now.map((value, t) => value - along * besides[t]);
    const next = new Float64Array(now.length);
    for (const row of rows) {
      const part = dot(row, now);
      for (let t = 0; t < next.length; t += 1) next[t] += part * row[t];
    }
    now = scaled(next);
  }
  return now;
}

/** Scales a row to mean 0 and length 1; returns zeros if it is constant or not finite. */
function standardised(row: Float64Array): Float64Array {
  const mean = row.reduce((sum, value) => sum + value, 0) / Math.max(1, row.length);
  return scaled(row.map((value) => value - mean));
}

function scaled(row: Float64Array) {
  const length = Math.sqrt(dot(row, row));
  return length > 1e-9 && Number.isFinite(length) ? row.map((value) => value / length) : new Float64Array(row.length);
}

function dot(a: Float64Array, b: Float64Array) {
  let sum = 0;
  for (let t = 0; t < a.length; t += 1) sum += a[t] * b[t];
  return sum;
}
