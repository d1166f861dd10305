// The selected layer, direction and units, and their names on the page.

import type { Run, Track, TrackInfo, View } from "studio/types.js";
import type { Store } from "studio/state/store.js";

/** @returns the first if none has that name */
export const trackOf = (run: Run, name: string): Track =>
  run.tracks.find(({ info }) => info.name === name) ?? run.tracks[0];

/** The state that carries information from step to step: c for an LSTM, otherwise h. */
export const memoryState = ({ values }: Track): string => ("c" in values ? "c" : "h");

/** The units to show in detail: the pinned ones, or the selected one if none are pinned. */
export const shownUnits = ({ pinned, unit }: View): readonly number[] => (pinned.length > 0 ? pinned : [unit]);

/** @param unit -1 means none, while nothing has been read */
export function togglePin(store: Store, unit: number) {
  if (unit < 0) return;
  const { pinned } = store.get();
  if (pinned.includes(unit)) store.change({ pinned: pinned.filter((other) => other !== unit) }, `unpin unit ${unit}`);
  else store.change({ pinned: [...pinned, unit] }, `pin unit ${unit}`);
}

/** `twoWays`: whether the layer has both directions; returns "Layer 1, left to right" */
export function trackTitle({ layer, reverse }: TrackInfo, twoWays: boolean): string {
  if (!twoWays) return `Layer ${layer}`;
  return `Layer ${layer}, ${reverse ? "right to left" : "left to right"}`;
}

/** A value of a run; NaN if there is none. */
export function valueAt(track: Track, quantity: string, unit: number, t: number): number {
  const width = quantityWidth(track.info, quantity);
  return unit < width ? (track.values[quantity]?.[t * width + unit] ?? NaN) : NaN;
}

/** Returns how many values a quantity has at each step: H, or P for the hidden state of an LSTM with a projection. */
export const quantityWidth = (info: TrackInfo, quantity: string): number =>
  quantity === "h" ? info.outputs : info.units;

/** The average change of each unit from one step to the next. */
export function meanChanges({ info, values }: Track, quantity: string): Float64Array {
  const [numbers, width] = [values[quantity], quantityWidth(info, quantity)];
  const sums = new Float64Array(width);
  for (let k = width; k < numbers.length; k++) sums[k % width] += Math.abs(numbers[k] - numbers[k - width]);
  return sums.map((sum) => sum / Math.max(1, numbers.length / width - 1));
}

/** The shortest decimal that is the same float32. */
export function shortest(value: number): number {
  const digits = [5, 6, 7, 8].find((count) => Math.fround(Number(value.toPrecision(count))) === value) ?? 9;
  return Number(value.toPrecision(digits));
}
