// What the page shows of a run: the words of its steps, its predictions, its layers and its units.

import type { Store } from "studio/state/store.js";
import type { Choice, Head, Run, Track, TrackInfo, View } from "studio/types.js";

const SIGNS = new Map([
  [" ", "\u2423"],
  ["\n", "\u23ce"],
  ["\t", "\u21e5"],
  ["\r", "\u240d"],
]);
// White space, control characters, and invisible characters such as joiners, variation selectors and direction marks.
const FORMLESS = /^[\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}\u2800]+$/u;

export const isFormless = (token: string) => FORMLESS.test(token);

/** @returns with symbols or code points, "U+FE0F", in place of invisible characters */
export function shownToken(token: string): string {
  if (token === "") return "\u2205";
  if (!isFormless(token)) return token.replaceAll("\n", "\u23ce");
  return Array.from(token, (character) => SIGNS.get(character) ?? codePoint(character)).join("");
}

const codePoint = (character: string) =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

export function shortToken(token: string, most: number): string {
  const shown = [...shownToken(token)];
  return shown.length > most ? `${shown.slice(0, most - 1).join("")}\u2026` : shown.join("");
}

/** Whether the steps have words, which they lack if the model reads numbers. */
export const hasWords = ({ tokens }: { tokens: string[] }) => !tokens.every(isNumber);

const isNumber = (token: string, t: number) => token === String(t);

/** The word of a step; "" if the run reads numbers; `most`: characters. */
export const wordAt = ({ tokens }: { tokens: string[] }, t: number, most: number): string =>
  isNumber(tokens[t], t) ? "" : shortToken(tokens[t] ?? "", most);

/** A step's number, and its word if it has one; returns "step 3 \u201cfield\u201d". */
export function stepName(run: { tokens: string[] }, t: number): string {
  const word = wordAt(run, t, 24);
  return word === "" ? `step ${t}` : `step ${t} \u201c${word}\u201d`;
}

/** The head with that name, else the first; null if the model predicts nothing. */
export const findHead = (run: Run, name: string): Head | null =>
  run.heads.find((head) => head.name === name) ?? run.heads[0] ?? null;

/** @returns the chosen label */
export function predictionAt(head: Head, t: number): Choice {
  const k = head.chosen[t];
  return { label: head.labels[k], probability: head.probabilities[t * head.labels.length + k] };
}

export const choiceText = ({ label, probability }: Choice) => `${shownToken(label)} ${probability.toFixed(2)}`;

/** The likeliest labels at a step, best first. */
export function likeliest(head: Head, t: number, most: number): Choice[] {
  const K = head.labels.length;
  const row = head.probabilities.subarray(t * K, (t + 1) * K);
  const best: number[] = [];
  for (let k = 0; k < K; k += 1) {
    if (best.length === most && row[k] <= row[best[most - 1]]) continue;
    let at = best.length;
    while (at > 0 && row[best[at - 1]] < row[k]) at -= 1;
    best.splice(at, 0, k);
    if (best.length > most) best.pop();
  }
  return best.map((k) => ({ label: head.labels[k], probability: row[k] }));
}

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
