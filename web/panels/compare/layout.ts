// The layout of the compare page's figure.

import type { Scene } from "studio/panels/compare/types.js";
import { headOf, predictionAt } from "studio/state/predictions.js";
import type { Head, Track } from "studio/types.js";

export const GUTTER = 64;
const WORDS = 42;
const GAP = 10;
export const RIBBON = 46;
export const RIBBON_HEAD = 22;

export type Layout = ReturnType<typeof layoutOf>;

/** The layout. */
export function layoutOf({ pair, columns, a, b, comparable, strips, width, head }: Scene) {
  const longest = Math.max(
    ...[pair.a, pair.b].flatMap(({ run }) => run.tokens.map((token, t) => longestAt(token, headOf(run, head), t))),
  );
  const least = Math.max(18, Math.min(110, longest * 7 + 12));
  const column = Math.max(least, Math.min(240, Math.floor((width - GUTTER) / columns.length)));
  const map = (track: Track | undefined) => (track ? Math.max(72, Math.min(144, track.info.units)) : 0);
  const wordsA = 0;
  const wordsB = wordsA + WORDS;
  const ribbons = wordsB + WORDS;
  const mapA = ribbons + (strips.length ? RIBBON_HEAD + strips.length * RIBBON : 0) + GAP;
  const mapB = mapA + map(a) + GAP;
  const difference = mapB + map(b) + GAP;
  const height = difference + (comparable ? map(a) : 0);
  return {
    column,
    wordsA,
    mapA,
    wordsB,
    mapB,
    difference,
    ribbons,
    height,
    mapHeightA: map(a),
    mapHeightB: map(b),
    left: GUTTER,
    total: GUTTER + column * columns.length,
    centre: (k: number) => GUTTER + (k + 0.5) * column,
  };
}

function longestAt(token: string, head: Head | null, t: number) {
  return Math.max(token.length, head ? predictionAt(head, t).label.length + 5 : 0);
}
