// A tile for each unit of a layer, with the kept part of the memory on the left (inside the outline of the previous
// memory), the written part on the right, and a line at their sum, the new memory. All tiles share a few paths, so a
// step is drawn quickly.

import { svg } from "studio/ui/draw.js";
import { text } from "studio/ui/svg-parts.js";

/** each [H], at one step */
export interface Units {
  before: Float32Array; // the previous memory
  kept: Float32Array;
  wrote: Float32Array;
  memory: Float32Array;
  h: Float32Array;
}

type Tiling = { columns: number; width: number; height: number };

const AREA = 330; // preferred maximum height of all tiles in pixels
const MOST = { width: 120, height: 80 };
const LEAST = 13;
const NAMED = 30; // minimum width for a tile to show its number
const NUMBER = 11; // height of its number

const named = ({ width, height }: Tiling) => width >= NAMED && height >= 30;

/** The zero line of a tile's bars, and their maximum length. */
function middleOf(tiling: Tiling) {
  const top = named(tiling) ? NUMBER : 0;
  return { zero: top + (tiling.height - top) / 2, reach: (tiling.height - top) / 2 - 3 };
}

/** The number of tiles in a row, and their size. */
function tilingFor(units: number, width: number): Tiling {
  const side = Math.sqrt((width * AREA) / units);
  const wanted = Math.max(1, Math.round(width / Math.max(side, LEAST)));
  const columns = units <= 4 ? units : Math.min(units, Math.max(4, Math.round(wanted / 4) * 4));
  const rows = Math.ceil(units / columns);
  const height = Math.max(LEAST, Math.min(MOST.height, AREA / rows));
  return { columns, width: Math.min(MOST.width, width / columns), height };
}

export function tilesFor(units: number, width: number) {
  const tiling = tilingFor(units, width);
  const paths = Object.fromEntries(LAYERS.map((name) => [name, svg("path", { class: `hs-tile-${name}` })]));
  const chosen = svg("rect", { class: "hs-tile-chosen", rx: 3, width: tiling.width, height: tiling.height });
  const pointed = svg("rect", { class: "hs-tile-pointed", rx: 3, width: tiling.width, height: tiling.height });
  const pins = svg("path", { class: "hs-tile-pins" });
  const height = Math.ceil(units / tiling.columns) * tiling.height;
  const root = svg("svg", { class: "hs-tiles", width, height: height + 2, tabindex: 0, role: "group" }, [
    svg("path", { class: "hs-tile-frame", d: framesOf(units, tiling) }),
    ...numbersOf(units, tiling),
    ...LAYERS.map((name) => paths[name]),
    pins,
    pointed,
    chosen,
  ]);
  const move = (rect: SVGElement, unit: number) =>
    rect.setAttribute("transform", `translate(${xOf(unit, tiling)} ${yOf(unit, tiling)})`);
  return {
    root,
    tiling,
    draw: (shown: Units, largest: number) => fill(paths, shown, tiling, largest),
    point: (unit: number) => move(pointed, unit),
    select: (unit: number, pinned: readonly number[]) => {
      move(chosen, unit);
      pins.setAttribute(
        "d",
        pinned.map((one) => `M${xOf(one, tiling) + tiling.width - 7} ${yOf(one, tiling) + 2}h5v5z`).join(""),
      );
    },
  };
}

const LAYERS = ["before", "plus", "minus", "end", "beyond"];

const xOf = (unit: number, { columns, width }: Tiling) => (unit % columns) * width;
const yOf = (unit: number, { columns, height }: Tiling) => Math.floor(unit / columns) * height;

/** The unit at a point of the picture; -1 if there is none. */
export function unitAt(x: number, y: number, units: number, { columns, width, height }: Tiling): number {
  const column = Math.floor(x / width),
    unit = Math.floor(y / height) * columns + column;
  return column >= 0 && column < columns && unit >= 0 && unit < units ? unit : -1;
}

function framesOf(units: number, tiling: Tiling): string {
  const { width, height } = tiling,
    { zero } = middleOf(tiling);
  return Array.from({ length: units }, (_, k) => {
    const x = xOf(k, tiling),
      y = yOf(k, tiling);
    return `M${x + 1.5} ${y + 1.5}h${width - 3}v${height - 3}h${3 - width}zM${x + 3} ${y + zero}h${width - 6}`;
  }).join("");
}

function numbersOf(units: number, tiling: Tiling): SVGElement[] {
  if (!named(tiling)) return [];
  return Array.from({ length: units }, (_, k) =>
    text(xOf(k, tiling) + 4, yOf(k, tiling) + 10.5, "hs-tile-number", "start", String(k)),
  );
}

function fill(
  paths: Record<string, SVGElement>,
  { before, kept, wrote, memory }: Units,
  tiling: Tiling,
  largest: number,
) {
  const { zero: middle, reach } = middleOf(tiling),
    bar = (tiling.width - 8) / 2;
  const parts: Record<string, string[]> = { before: [], plus: [], minus: [], end: [], beyond: [] };
  const up = (value: number) => Math.max(-1, Math.min(1, value / largest || 0)) * reach;
  for (let k = 0; k < before.length; k++) {
    const x = xOf(k, tiling) + 4,
      zero = yOf(k, tiling) + middle;
    const keeps = up(kept[k]),
      ends = up(kept[k] + wrote[k]);
    parts.before.push(block(x, zero, 0, up(before[k]), bar - 0.5));
    parts[kept[k] < 0 ? "minus" : "plus"].push(block(x, zero, 0, keeps, bar - 0.5));
    parts[wrote[k] < 0 ? "minus" : "plus"].push(block(x + bar + 0.5, zero, keeps, ends, bar - 0.5));
    parts.end.push(`M${round(x + bar)} ${round(zero - up(memory[k]))}h${round(bar)}`);
    if (Math.abs(memory[k]) > largest)
      parts.beyond.push(arrow(x + bar, zero - Math.sign(memory[k]) * (reach + 2), Math.sign(memory[k])));
  }
  for (const name of LAYERS) paths[name].setAttribute("d", parts[name].join(""));
}

/**
 * A small arrow that marks a bar as cut off.
 *
 * @param y its tip
 * @param up 1, or -1 for downwards
 */
function arrow(x: number, y: number, up: number): string {
  return `M${round(x)} ${round(y)}l3.5 ${4 * up}h-7z`;
}

const round = (value: number) => Math.round(value * 10) / 10;

/** A rectangle between two heights, measured from the zero line. */
function block(x: number, zero: number, from: number, to: number, width: number): string {
  return `M${round(x)} ${round(zero - from)}h${round(width)}V${round(zero - to)}h${round(-width)}z`;
}
