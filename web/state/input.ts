// Runs a model on the content of the text box: words, characters, or numbers for a layer without a vocabulary.

import { ModelError } from "studio/runtime/errors.js";
import { spanOf } from "studio/state/series.js";
import type { Edit, Model, Run } from "studio/types.js";

type Signal = "impulse" | "step" | "sine" | "noise";
export const SIGNALS: readonly Signal[] = ["impulse", "step", "sine", "noise"];
const MOST_STEPS = 2000;
const SIGNAL_STEPS = 24;
export const NAME_END = ":"; // between a row's name and its numbers

/** @returns null if there is nothing to read */
export function readInput(model: Model, text: string, edits: readonly Edit[] = []): Run | null {
  if (model.kind === "trace") return model.given;
  const span = model.series && spanOf(model.series, text);
  if (model.series && span) return model.series.runSpan(span.from, span.to, edits);
  if (isNumeric(model)) return readNumbers(model, text, edits);
  const tokens = model.tokenise(text);
  if (tokens.length > MOST_STEPS) {
    throw new ModelError(`${tokens.length} ${model.unit}s`, `at most ${MOST_STEPS}`, "Give a shorter text.");
  }
  return tokens.length > 0 ? model.run(tokens, edits) : null;
}

function readNumbers(model: Model, text: string, edits: readonly Edit[]): Run {
  const given = model.given;
  if (text.trim() === "" && given !== null && edits.length === 0) return given;
  const rows = text.trim() === "" ? givenRows(given) : null;
  return model.runNumbers(rows ?? inputRows(model, text.trim() === "" ? "noise" : text), edits, rowNames(text));
}

export const isNumeric = ({ kind }: Model): boolean => kind === "layer" || kind === "series-model";

export const readsText = (model: Model | null): boolean => model?.kind === "tagger" || model?.kind === "language-model";

export const inputWidth = ({ series, tracks }: Model): number => series?.features.length ?? tracks[0].inputSize;

/** The rows of a text, in the units of the data; a signal has about the sizes that the model was trained on. */
export function inputRows(model: Model, text: string): Float32Array[] {
  const rows = parseRows(text, inputWidth(model));
  const { series } = model;
  if (!series || signalNamed(text) === null) return rows;
  return rows.map((row) => row.map((value, c) => series.features[c].offset + series.features[c].factor * value));
}

export function givenRows(given: Run | null): Float32Array[] | null {
  if (given?.series) {
    const { values } = given.series;
    const C = values.length / given.steps;
    return Array.from({ length: given.steps }, (_, t) => Float32Array.from(values.subarray(t * C, (t + 1) * C)));
  }
  const track = given?.tracks[0];
  if (!given || !track?.input) return null;
  const width = track.info.inputSize;
  const input = track.input;
  return Array.from({ length: given.steps }, (_, t) => input.slice(t * width, (t + 1) * width));
}

/** The name of the signal that a text asks for, or null. */
export function signalNamed(text: string): Signal | null {
  const [name] = text.trim().split(/\s+/);
  return SIGNALS.find((signal) => signal === name && !text.includes(NAME_END)) ?? null;
}

/** Rows of numbers, perhaps named, "May: 1, 2"; or a signal, "sine 24", "noise 24 7" (steps, then a seed). */
export function parseRows(text: string, columns: number): Float32Array[] {
  const name = signalNamed(text);
  if (name) {
    const [, steps, seed] = text.trim().split(/\s+/);
    return signal(name, columns, counted(steps, SIGNAL_STEPS), counted(seed, 0));
  }
  const rows = textLines(text).map((line, k) => numbers(line, k, columns));
  if (rows.length > MOST_STEPS) {
    throw new ModelError(`${rows.length} rows`, `at most ${MOST_STEPS}`, "Give fewer rows.");
  }
  return rows;
}

/** The names of rows; a row without one has its number; returns null if no row has a name. */
function rowNames(text: string): string[] | null {
  if (!text.includes(NAME_END)) return null;
  return textLines(text).map((line, k) => line.slice(0, Math.max(0, line.lastIndexOf(NAME_END))).trim() || String(k));
}

const textLines = (text: string) => text.trim().split(/\r?\n/);

function counted(text: string | undefined, otherwise: number) {
  const value = Number(text);
  return text !== undefined && Number.isInteger(value) && value >= 0 ? Math.min(value, MOST_STEPS) : otherwise;
}

/** How many numbers a row has, in words. */
export const numberCount = (columns: number) => `${columns} ${columns === 1 ? "number" : "numbers"}`;

function numbers(line: string, k: number, columns: number): Float32Array {
  const values = line
    .slice(line.lastIndexOf(NAME_END) + 1)
    .trim()
    .split(/\s*[,;\t]\s*|\s+/)
    .map((field) => (field === "" ? NaN : Number(field)));
  if (values.length !== columns || values.some((value) => !Number.isFinite(value))) {
    throw new ModelError(
      `row ${k + 1} is "${line.slice(0, 40)}"`,
      numberCount(columns),
      "Give one row of numbers per step, separated by commas, optionally after a name and a colon.",
    );
  }
  return Float32Array.from(values);
}

/** A signal that is easy to follow, the same in every column, except for noise, and a sine, which shifts a little. */
export function signal(name: Signal, columns: number, steps: number = SIGNAL_STEPS, seed: number = 0): Float32Array[] {
  const random = gaussian(seed);
  const start = Math.floor(steps / 4);
  const makers: Record<Signal, (t: number, column: number) => number> = {
    impulse: (t) => (t === start ? 1 : 0),
    step: (t) => (t >= start ? 1 : 0),
    sine: (t, column) => Math.sin((2 * Math.PI * t) / 12 - column * 0.5),
    noise: () => random(),
  };
  const length = Math.max(1, steps);
  return Array.from({ length }, (_, t) => Float32Array.from({ length: columns }, (__, c) => makers[name](t, c)));
}

/** Normally distributed numbers determined by a seed (mulberry32, then Box-Muller). */
function gaussian(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
