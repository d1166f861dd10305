// The colours of values. Equal colours mean equal numbers, in every panel and for every sentence.
//
// i, f and o have sequential colours; g, h and c have diverging colours that are neutral in the middle.

import { isSequential, range } from "studio/state/ranges.js";
import type { Ends } from "studio/ui/line.js";
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

export function colour(...value: Parameters<typeof rgb>): string {
  return `rgb(${rgb(...value).join(", ")})`;
}

/** A canvas with a pixel for each value in its colour, row after row; NaN is transparent. */
export function valueImage(columns: number, rows: number, at: (k: number) => number, quantity: string, ends: Ends) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, columns), Math.max(1, rows)];
  const image = new ImageData(canvas.width, canvas.height);
  const table = colours(quantity);
  for (let k = 0; k < columns * rows; k++) {
    const value = at(k);
    if (Number.isNaN(value)) continue;
    const from = level(value, ends) * 3;
    for (let part = 0; part < 3; part++) image.data[4 * k + part] = table[from + part];
    image.data[4 * k + 3] = 255;
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/** The line colour of a gate or a state; each has its own hue; returns a CSS variable. */
export function quantityColour(quantity: string): string {
  return `var(--q-${quantity})`;
}

type Rgb = [number, number, number];
/** colours, and their positions from 0 to 1 */
type Stops = [number, Rgb][];

const LEVELS = 256;

// Perceptually uniform and safe for colour-blind readers, after cividis (Nuñez, Anderton and Renslow, 2018).
const SEQUENTIAL = "#0d234a #1c3968 #3e4e6e #5a6170 #747575 #908c78 #ada275 #cab86c #e4cf60 #f8e56e";
// Neutral in the middle. It changes fast near zero, because most values of a cell are far below its largest value.
const AWAY = [0, 0.1, 0.3, 0.6, 1];
const BLUE = { light: "#f8f7f3 #c7dcec #7caed6 #2d70ad #083e74", dark: "#1e2026 #223850 #2c6092 #4e9ad6 #9ad0f6" };
const ORANGE = { light: "#f8f7f3 #f7d9b6 #eba35c #ce6816 #853904", dark: "#1e2026 #4e3622 #8e5422 #de8430 #fdcd8e" };

/** Tables of 256 colours, each red, green, blue. */
const COLORMAPS: Readonly<Record<"sequential" | "light" | "dark", Uint8Array>> = Object.freeze({
  sequential: table(read(SEQUENTIAL).map((rgb, k, all) => [k / (all.length - 1), rgb])),
  light: table(both(BLUE.light, ORANGE.light)),
  dark: table(both(BLUE.dark, ORANGE.dark)),
});

function read(hex: string): Rgb[] {
  return hex.split(" ").map((colour) => {
    const number = parseInt(colour.slice(1), 16);
    return [number >> 16, (number >> 8) & 255, number & 255];
  });
}

/** `below`: from the middle to the low end; `above`: from the middle to the high end */
function both(below: string, above: string): Stops {
  const at = (sign: 1 | -1) => (rgb: Rgb, k: number) => [0.5 + (sign * AWAY[k]) / 2, rgb] as [number, Rgb];
  return [...read(below).map(at(-1)).reverse(), ...read(above).map(at(1)).slice(1)];
}

function table(stops: Stops): Uint8Array {
  const made = new Uint8Array(LEVELS * 3);
  for (let k = 0; k < LEVELS; k += 1) {
    const at = k / (LEVELS - 1);
    const next = stops.findIndex(([place], k) => k > 0 && place >= at);
    const [[low, from], [high, to]] = [stops[next - 1], stops[next]];
    for (let part = 0; part < 3; part += 1) {
      made[k * 3 + part] = Math.round(from[part] + ((at - low) / (high - low)) * (to[part] - from[part]));
    }
  }
  return made;
}
