// The colours of values. Equal colours mean equal numbers, in every panel and for every sentence.
//
// i, f and o have sequential colours; g, h and c have diverging colours that are neutral in the middle.

import { isSequential, range } from "studio/state/ranges.js";
import { type Rgb, LEVELS, COLORMAPS } from "studio/ui/colormaps.js";
import { isDark } from "studio/ui/theme.js";

/** The colours of a scale from its low end to its high end: 256 triples of red, green and blue. */
export function colours(quantity: string): Uint8Array {
  if (isSequential(quantity)) return COLORMAPS.sequential;
  return isDark() ? COLORMAPS.dark : COLORMAPS.light;
}

/** A value's index in `colours`, 0..255, clamped to the scale; NaN is at the low end. */
export function level(value: number, [low, high]: readonly [number, number]): number {
  const at = Math.round(((value - low) / (high - low)) * (LEVELS - 1));
  return at > 0 ? Math.min(at, LEVELS - 1) : 0;
}

/** @param ends of the scale, if it isn't that of the quantity */
export function rgb(quantity: string, value: number, ends: readonly [number, number] = range(quantity)): Rgb {
  const at = level(value, ends) * 3;
  const all = colours(quantity);
  return [all[at], all[at + 1], all[at + 2]];
}

/** @returns for CSS */
export function colour(...value: Parameters<typeof rgb>): string {
  return `rgb(${rgb(...value).join(", ")})`;
}

/**
 * The line colour of a gate or a state; each has its own hue.
 *
 * @returns a CSS variable
 */
export function quantityColour(quantity: string): string {
  return `var(--q-${quantity})`;
}
