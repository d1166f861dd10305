// The colours of values. Equal colours mean equal numbers, in every panel and for every sentence.
//
// i, f and o have sequential colours; g, h and c have diverging colours that are neutral in the middle.

import { isSequential, limitOf, range } from "studio/state/ranges.js";
import type { Run } from "studio/types.js";
import { type Rgb, LEVELS, COLORMAPS } from "studio/ui/colormaps.js";
import { svg, tick } from "studio/ui/draw.js";
import { isDark } from "studio/ui/theme.js";

/** The colours of a scale from its low end to its high end: 256 triples of red, green and blue. */
export function colours(quantity: string): Uint8Array {
  if (isSequential(quantity)) return COLORMAPS.sequential;
  return isDark() ? COLORMAPS.dark : COLORMAPS.light;
}

/** A value's index in `colours`, 0..255, clamped to the scale; NaN is at the low end. */
export function level(value: number, [low, high]: [number, number]): number {
  const at = Math.round(((value - low) / (high - low)) * (LEVELS - 1));
  return at > 0 ? Math.min(at, LEVELS - 1) : 0;
}

export function rgb(quantity: string, value: number): Rgb {
  const at = level(value, range(quantity)) * 3;
  const all = colours(quantity);
  return [all[at], all[at + 1], all[at + 2]];
}

/** @returns for CSS */
export function colour(quantity: string, value: number): string {
  return `rgb(${rgb(quantity, value).join(", ")})`;
}

/**
 * The line colour of a gate or a state; each has its own hue.
 *
 * @returns a CSS variable
 */
export function quantityColour(quantity: string): string {
  return `var(--q-${quantity})`;
}

const LEGEND = { width: 168, bar: 8 };

/**
 * Draws the scale as a bar, labelled at its ends and in the middle.
 *
 * @param run whose scale to show; null for the current scale
 */
export function legend(quantity: string, run: Run | null = null): SVGSVGElement {
  const high = limitOf(quantity, run);
  const low = range(quantity)[0] === 0 ? 0 : -high;
  const { width, bar } = LEGEND;
  const steps = 64;
  const cells = Array.from({ length: steps }, (_, k) =>
    svg("rect", {
      x: (k * width) / steps,
      y: 0,
      width: width / steps + 0.5,
      height: bar,
      fill: colour(quantity, low + ((k + 0.5) / steps) * (high - low)),
    }),
  );
  const label = `Colours of ${quantity} from ${low} to ${high}`;
  return svg(
    "svg",
    {
      class: "legend",
      width: width + 16,
      height: 24,
      viewBox: `-8 0 ${width + 16} 24`,
      role: "img",
      "aria-label": label,
    },
    [...cells, ...ticks([low, (low + high) / 2, high], width)],
  );
}

function ticks(values: number[], width: number) {
  return values.map((value, k) =>
    svg("text", {
      x: (k * width) / (values.length - 1),
      y: 21,
      "text-anchor": ["start", "middle", "end"][k],
      class: "legend-tick",
      text: tick(value),
    }),
  );
}
