// The layout of the compare page's figure.

import { headOf, predictionAt } from "studio/state/predictions.js";

/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/panels/compare/types.js").Scene} Scene */

export const GUTTER = 64;
const WORDS = 42;
const GAP = 10;
export const RIBBON = 46;
export const RIBBON_HEAD = 22;

/** @typedef {ReturnType<typeof layoutOf>} Layout */

/**
 * The layout.
 * @param {Scene} scene
 */
export function layoutOf({ pair, columns, a, b, comparable, strips, width, head }) {
  const longest = Math.max(
    ...[pair.a, pair.b].flatMap(({ run }) => run.tokens.map((token, t) => longestAt(token, headOf(run, head), t))),
  );
  const least = Math.max(18, Math.min(110, longest * 7 + 12));
  const column = Math.max(least, Math.min(240, Math.floor((width - GUTTER) / columns.length)));
  const map = (/** @type {Track | undefined} */ track) => (track ? Math.max(72, Math.min(144, track.info.units)) : 0);
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
    centre: (/** @type {number} */ k) => GUTTER + (k + 0.5) * column,
  };
}

/**
 * @param {string} token
 * @param {import("studio/types.js").Head | null} head
 * @param {number} t
 */
function longestAt(token, head, t) {
  return Math.max(token.length, head ? predictionAt(head, t).label.length + 5 : 0);
}
