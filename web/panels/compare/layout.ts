// The layout of the compare page's figure.

import type { Scene } from "studio/panels/compare/scene.js";
import { choiceText, findHead, predictionAt, shownToken } from "studio/state/run.js";
import { fontFamily, measure } from "studio/ui/theme.js";

export const GUTTER = 64;
const WORDS = 42;
const GAP = 10;
const NARROWEST = 18;
const [WORD, TIME] = [104, 240]; // greatest widths of a word, and of a date or number, which must not be cut
const AIR = 8; // between two words
const MOST = 60; // characters of a word that may be drawn
export const RIBBON = 46;
export const RIBBON_HEAD = 22;

export type Layout = ReturnType<typeof figureLayout>;

export function figureLayout({ pair, columns, a, b, comparable, strips, head }: Scene, width: number) {
  const widths = {
    word: measure(`600 14px ${fontFamily("--font")}`),
    tag: measure(`600 11px ${fontFamily("--sans")}`),
  }; // compare.css
  const needed = [pair.a, pair.b].flatMap(({ run }) => {
    const shown = findHead(run, head);
    return run.tokens.map((token, t) => {
      const tag = shown ? widths.tag(choiceText(predictionAt(shown, t))) : 0;
      return Math.min(/^\d/.test(token) ? TIME : WORD, Math.max(widths.word(shownToken(token)), tag));
    });
  });
  const least = Math.max(NARROWEST, Math.ceil(Math.max(...needed)) + AIR);
  const column = Math.max(least, Math.min(240, Math.floor((width - GUTTER) / columns.length)));
  const [wordsA, wordsB, ribbons] = [0, WORDS, 2 * WORDS];
  let height = ribbons + (strips.length ? RIBBON_HEAD + strips.length * RIBBON : 0);
  const maps = [a, b, comparable ? a : undefined].map((track) => {
    const top = height + GAP;
    height = top + (track ? Math.max(72, Math.min(144, track.info.units)) : 0);
    return { track, top, height: height - top };
  }); // of A, of B, and the difference
  return {
    ...{ column, wordsA, wordsB, ribbons, height, maps, left: GUTTER },
    total: GUTTER + column * columns.length,
    centre: (k: number) => GUTTER + (k + 0.5) * column,
    fitted: (text: string, kind: "word" | "tag") => fitted(text, column - AIR, widths[kind]),
  };
}

function fitted(text: string, room: number, width: (text: string) => number) {
  if (width(text) <= room) return text;
  let characters = [...text].slice(0, MOST);
  while (characters.length > 1 && width(`${characters.join("")}…`) > room) characters = characters.slice(0, -1);
  return `${characters.join("")}…`;
}
