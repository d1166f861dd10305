// The layout of the heat map: tokens above the columns, pinned units at the top, all units below.

import { shortToken } from "studio/state/run.js";
import type { Run, Track } from "studio/types.js";
import { fontFamily, measure } from "studio/ui/theme.js";

export type Cell = { unit: number; step: number };

export interface Scene {
  run: Run;
  track: Track;
  quantity: string;
  layout: HeatLayout;
  about: (unit: number) => string; // explains a unit's rank
}

export interface HeatLayout {
  width: number;
  height: number;
  left: number; // where the first column begins
  top: number; // where the first row, pinned or not, begins
  pitch: number; // of a column
  pinHeight: number; // of a pinned row
  pinned: number[];
  mapTop: number; // where the map of all units begins
  rowHeight: number; // of a row there
  order: number[]; // units of these rows
  steps: number;
  slanted: boolean; // whether the tokens are slanted
  every: number; // how many columns there are per token shown
}

const LEFT = 46;
const RIGHT = 10;
const NARROWEST = 4;
const MOST_WIDE = 2000; // more columns, as of a long series, are narrowed until all fit
const PIN_ROW = 15;
const PIN_GAP = 10;
const BOTTOM = 2;
const UPRIGHT = 14; // if the longest token is no wider than this (as for characters), no token is slanted
const CLOSE = 13; // minimum pixels between slanted tokens, if each column has one
const LOOSE = 17; // minimum pixels between slanted tokens, if some columns have none
const APART = 6; // pixels between tokens that are not slanted
export const SLANT = -58;
export const LONGEST_TOKEN = 12; // characters
const SIZE = "11px"; // of a picture-label
const MOST_MEASURED = 200; // the dates of a longer series are alike

/** @returns the width of the longest in pixels */
export function longestToken(tokens: readonly string[]): number {
  const measured = measure(`${SIZE} ${fontFamily("--sans")}`);
  const every = tokens.length > 10 * MOST_MEASURED ? Math.ceil(tokens.length / MOST_MEASURED) : 1;
  const some = every > 1 ? tokens.filter((_, t) => t % every === 0) : tokens;
  return some.reduce((most, token) => Math.max(most, measured(shortToken(token, LONGEST_TOKEN))), 8);
}

interface HeatSizes {
  width: number; // available
  height: number; // available
  steps: number;
  pinned: readonly number[];
  order: number[];
  longest: number; // width of the longest token in pixels
}

export function heatLayout({ width, height, steps, pinned, order, longest }: HeatSizes): HeatLayout {
  const wide = (width - LEFT - RIGHT) / Math.max(1, steps);
  const slanted = longest > UPRIGHT && longest + APART > wide;
  const overhang = slanted ? longest * 0.53 : 0;
  const narrowest = steps > MOST_WIDE ? 0 : NARROWEST;
  const pitch = Math.max(narrowest, (width - LEFT - RIGHT - overhang) / Math.max(1, steps));
  const top = slanted ? Math.round(longest * 0.85) + 12 : 22;
  const kept = pinned.filter((unit) => unit < order.length);
  const mapTop = top + kept.length * PIN_ROW + (kept.length > 0 ? PIN_GAP : 0);
  const rowHeight = Math.min(34, Math.max(1, (height - mapTop - BOTTOM) / Math.max(1, order.length)));
  return {
    width: Math.max(width, LEFT + pitch * steps + overhang + RIGHT),
    height: mapTop + rowHeight * order.length + BOTTOM,
    ...{ left: LEFT, top, pitch, pinHeight: PIN_ROW, pinned: kept, mapTop, rowHeight, order, steps, slanted },
    every: slanted && pitch >= CLOSE ? 1 : Math.max(1, Math.ceil((slanted ? LOOSE : longest + APART) / pitch)),
  };
}

/** The height of the tokens above the first row; the marker of that row extends a little above it. */
export const headHeight = ({ top }: HeatLayout) => top - 2;

export function cellAt(layout: HeatLayout, x: number, y: number): Cell | null {
  const step = Math.floor((x - layout.left) / layout.pitch);
  if (step < 0 || step >= layout.steps) return null;
  const pin = Math.floor((y - layout.top) / layout.pinHeight);
  if (y >= layout.top && pin < layout.pinned.length) return { unit: layout.pinned[pin], step };
  const row = Math.floor((y - layout.mapTop) / layout.rowHeight);
  return y >= layout.mapTop && row < layout.order.length ? { unit: layout.order[row], step } : null;
}

/** The position of a unit's row in the map of all units; returns its top. */
export const rowTop = (layout: HeatLayout, unit: number): number =>
  layout.mapTop + Math.max(0, layout.order.indexOf(unit)) * layout.rowHeight;
