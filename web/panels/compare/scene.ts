// What the compare page shows: two runs, their columns, how far apart they are, and the layout of the figure.

import type { CellKind } from "studio/runtime/kinds.js";
import { SAME } from "studio/state/edits.js";
import { isNumeric } from "studio/state/input.js";
import { choiceText, findHead, predictionAt, quantityWidth, shownToken } from "studio/state/run.js";
import type { Session } from "studio/state/session.js";
import type { Model, Run, Track, View } from "studio/types.js";
import { fontFamily, measure } from "studio/ui/theme.js";

/** How far two runs are apart in one track. */
export interface Strip {
  name: string; // of the track
  reverse: boolean;
  distance: Float32Array; // by column
  parting: Parting;
}

export interface Scene {
  pair: Pair;
  columns: Column[];
  a: Track | undefined;
  b: Track | undefined;
  comparable: boolean; // whether their units can be compared
  strips: Strip[];
  quantity: string; // of A
  other: string | null; // the quantity of B with the same letter or the same role; null if there is none
  state: string; // whose distance is shown: c if both have it and it is chosen, else h
  head: string;
}

/** @returns null until there are two runs */
export function createScene(session: Session, view: View): Scene | null {
  const pair = chosenPair(session, view);
  if (pair === null || tooMany(pair) > 0) return null;
  const { quantity, head } = view;
  const byStep = view.comparison === "edits" || isNumeric(pair.a.model);
  const way = pair.a.run === pair.b.run || byStep ? "position" : view.align;
  const columns = align(way, pair.a.run.tokens, pair.b.run.tokens);
  const track = (side: "a" | "b", name: string) => pair[side].run.tracks.find(({ info }) => info.name === name);
  const [a, b] = [track("a", view.track), track("b", view.track)];
  const other = counterpart(quantity, pair.a.model.cell, pair.b.model.cell);
  const state = quantity === "c" && other === "c" ? "c" : "h";
  const strips = pair.a.run.tracks.flatMap((one) => {
    const { name, reverse } = one.info;
    const two = track("b", name);
    if (!two || !comparable(one, two)) return [];
    const distance = distances(one, two, state, columns);
    return [{ name, reverse, distance, parting: parting(distance, reverse) }];
  });
  return {
    ...{ pair, columns, a, b, strips, quantity, other, state, head },
    comparable: quantity === other && comparable(a, b),
  };
}

export type Side = { name: string; model: Model; run: Run };
type Pair = { a: Side; b: Side };

function chosenPair({ model, plain, run, other }: Session, { comparison }: View): Pair | null {
  if (!model || !plain || !run) return null;
  if (comparison === "edits") {
    return run.steps === plain.steps
      ? { a: { name: "before", model, run: plain }, b: { name: "after", model, run } }
      : null;
  }
  if (!other) return null;
  const names = comparison === "models" ? [model.name, other.model.name] : ["A", "B"];
  return { a: { name: names[0], model, run: plain }, b: { name: names[1], model: other.model, run: other.run } };
}

const MOST_COLUMNS = 400; // of a series, whose columns are as wide as dates

/** How many steps of a series are too many to compare; 0 if they are not. */
function tooMany({ a, b }: Pair): number {
  const steps = Math.max(a.run.steps, b.run.steps);
  return a.run.series && steps > MOST_COLUMNS ? steps : 0;
}

/** Why there is nothing to compare; "" if there is something. */
export function whyEmpty(session: Session, view: View, { a, b }: Pair): string {
  const { comparison, edits, otherText, otherModel, text } = view;
  if (session.error) return session.error.message; // the run with edits failed, so A is the run before them
  if (comparison === "edits" && !session.run?.edits.length) {
    return edits.length
      ? "All edits are switched off here, so the two runs are the same."
      : "There are no edits yet, so the two runs are the same. Make one on the first page.";
  }
  if (comparison === "sentences" && (otherText === "" || otherText === text))
    return isNumeric(a.model)
      ? "The two inputs are the same. Change one of them."
      : "The two sentences are the same. Change one of them, or choose a pair.";
  if (comparison === "models" && otherModel === "") return "The two models are the same. Choose a different one for B.";
  return a.run === b.run ? "The two runs are the same." : "";
}

/** The reason why there are not two runs to compare. */
export function whyBlank(session: Session, view: View): string {
  const { comparison } = view;
  const pair = chosenPair(session, view);
  const many = pair ? tooMany(pair) : 0;
  if (many) return `${many} steps are too many to compare: read a part of at most ${MOST_COLUMNS} on the first page.`;
  const error = session.error ?? (comparison === "edits" ? null : session.otherError);
  if (error) return error.message;
  if (session.model && !session.run) return "There is nothing to compare: A has no input.";
  return comparison !== "edits" && session.run ? "There is nothing to compare: B has not been read yet." : "";
}

/** The quantity of the other cell to show beside this one: of the same letter or, failing that, the same role. */
function counterpart(quantity: string, a: CellKind, b: CellKind): string | null {
  if ([...b.gates, ...b.states].includes(quantity)) return quantity;
  if (quantity === a.memory) return b.memory;
  if (quantity === a.candidate) return b.candidate;
  const keep = { f: "z", z: "f" }[quantity];
  return keep !== undefined && b.gates.includes(keep) ? keep : null;
}

/** A column: a step of each run; -1 if a run has none. */
export type Column = { a: number; b: number };

type Way = "position" | "words";

/** Pairs steps by position; `a`: steps of the first run; `b`: steps of the second run. */
const byPosition = (a: number, b: number): Column[] =>
  Array.from({ length: Math.max(a, b) }, (_, t) => ({ a: t < a ? t : -1, b: t < b ? t : -1 }));

/** The lengths of the longest common subsequences of all pairs of suffixes. */
function commonLengths(a: string[], b: string[]): Uint32Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let s = a.length - 1; s >= 0; s--) {
    for (let t = b.length - 1; t >= 0; t--) {
      table[s][t] = a[s] === b[t] ? table[s + 1][t + 1] + 1 : Math.max(table[s + 1][t], table[s][t + 1]);
    }
  }
  return table;
}

function common(a: string[], b: string[]): Column[] {
  const table = commonLengths(a, b);
  const found = [];
  for (let s = 0, t = 0; s < a.length && t < b.length;) {
    if (a[s] === b[t]) found.push({ a: s++, b: t++ });
    else if (table[s + 1][t] >= table[s][t + 1]) s++;
    else t++;
  }
  return found;
}

/** Pairs the steps between two common words, `from` (inclusive) and `to`, as far as both runs have any. */
function between(from: Column, to: Column): Column[] {
  const columns = byPosition(to.a - from.a, to.b - from.b);
  return columns.map(({ a, b }) => ({ a: a < 0 ? -1 : from.a + a, b: b < 0 ? -1 : from.b + b }));
}

/** Aligns equal words by their longest common subsequence, and words that replace each other. */
function byWords(a: string[], b: string[]): Column[] {
  const [lowerA, lowerB] = [a, b].map((tokens) => tokens.map((token) => token.toLowerCase()));
  const anchors = [...common(lowerA, lowerB), { a: a.length, b: b.length }];
  let from = { a: 0, b: 0 };
  return anchors.flatMap((anchor) => {
    const columns = between(from, anchor);
    from = { a: anchor.a + 1, b: anchor.b + 1 };
    return anchor.a < a.length && anchor.b < b.length ? [...columns, anchor] : columns;
  });
}

export const align = (way: Way, a: string[], b: string[]): Column[] =>
  way === "words" ? byWords(a, b) : byPosition(a.length, b.length);

// Two runs have converged again once their distance stays below this share of its maximum.
export const MET = 0.1;

/** Indices of columns in the track's reading order; -1 if there is none. */
interface Parting {
  first: number; // the first column in which they differ
  widest: number; // the column of the greatest distance
  meets: number; // the column from which they stay below MET of their greatest distance
  last: number; // the last column that both have
}

/** The Euclidean distance between two runs' states in each column; NaN if either run has no step there. */
function distances(a: Track, b: Track, quantity: string, columns: Column[]): Float32Array {
  const units = quantityWidth(a.info, quantity);
  const [va, vb] = [a.values[quantity], b.values[quantity]];
  return Float32Array.from(columns, (column) => {
    if (column.a < 0 || column.b < 0) return NaN;
    let sum = 0;
    for (let k = 0; k < units; k++) sum += (va[column.a * units + k] - vb[column.b * units + k]) ** 2;
    return Math.sqrt(sum);
  });
}

const comparable = (a: Track | undefined, b: Track | undefined): boolean =>
  a !== undefined && b !== undefined && a.info.units === b.info.units && a.info.outputs === b.info.outputs;

/** Finds where two runs diverge and whether they converge again; `distance`: by column. */
export function parting(distance: ArrayLike<number>, reverse: boolean): Parting {
  const columns = Array.from(distance, (_, k) => k).filter((k) => !Number.isNaN(distance[k]));
  if (reverse) columns.reverse();
  const first = columns.find((k) => distance[k] > SAME) ?? -1;
  const widest = columns.reduce((best, k) => (best < 0 || distance[k] > distance[best] ? k : best), -1);
  const far = columns.findLastIndex((k) => distance[k] > distance[widest] * MET);
  return { first, widest, meets: first < 0 ? -1 : (columns[far + 1] ?? -1), last: columns.at(-1) ?? -1 };
}

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
