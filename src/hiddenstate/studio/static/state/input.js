// Runs a model on the content of the text box: words, characters, or numbers for a layer without a vocabulary.

import { StudioError } from "studio/runtime/errors.js";

/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */

/** @typedef {"impulse" | "step" | "sine" | "noise"} Signal */
/** @type {readonly Signal[]} */
export const SIGNALS = ["impulse", "step", "sine", "noise"];
const MOST_STEPS = 2000;
const SIGNAL_STEPS = 24;
export const NAME_END = ":"; // between a row's name and its numbers

/**
 * @param {Model} model
 * @param {string} text
 * @param {readonly Edit[]} [edits]
 * @returns {Run | null} null if there is nothing to read
 */
export function readInput(model, text, edits = []) {
  if (model.kind === "trace") return model.given;
  if (model.kind === "layer") return readNumbers(model, text, edits);
  const tokens = model.tokenise(text);
  if (tokens.length > MOST_STEPS) {
    throw new StudioError(`${tokens.length} ${model.unit}s`, `at most ${MOST_STEPS}`, "Give a shorter text.");
  }
  return tokens.length > 0 ? model.run(tokens, edits) : null;
}

/**
 * @param {Model} model
 * @param {string} text
 * @param {readonly Edit[]} edits
 * @returns {Run}
 */
function readNumbers(model, text, edits) {
  const given = model.given;
  if (text.trim() === "" && given !== null && edits.length === 0) return given;
  const columns = model.tracks[0].inputSize;
  const rows = text.trim() === "" ? (givenRows(given) ?? signal("noise", columns)) : rowsOf(text, columns);
  return model.runNumbers(rows, edits, namesOf(text));
}

/**
 * The input rows of a run that came with the model.
 * @param {Run | null} given
 * @returns {Float32Array[] | null}
 */
export function givenRows(given) {
  const track = given?.tracks[0];
  if (!given || !track?.input) return null;
  const width = track.info.inputSize;
  const input = track.input;
  return Array.from({ length: given.steps }, (_, t) => input.slice(t * width, (t + 1) * width));
}

/**
 * The name of the signal that a text asks for, or null.
 * @param {string} text
 * @returns {Signal | null}
 */
export function signalNamed(text) {
  const [name] = text.trim().split(/\s+/);
  return SIGNALS.find((signal) => signal === name && !text.includes(NAME_END)) ?? null;
}

/**
 * Rows of numbers, each perhaps after a name, "May: 1, 2"; or a signal by name: "sine 24", "noise 24 7" (steps, then a
 * seed).
 * @param {string} text
 * @param {number} columns C
 * @returns {Float32Array[]}
 */
export function rowsOf(text, columns) {
  const name = signalNamed(text);
  if (name) {
    const [, steps, seed] = text.trim().split(/\s+/);
    return signal(name, columns, counted(steps, SIGNAL_STEPS), counted(seed, 0));
  }
  const rows = linesOf(text).map((line, k) => numbers(line, k, columns));
  if (rows.length > MOST_STEPS) {
    throw new StudioError(`${rows.length} rows`, `at most ${MOST_STEPS}`, "Give fewer rows.");
  }
  return rows;
}

/**
 * The names of rows; a row without one has its number.
 * @param {string} text
 * @returns {string[] | null} null if no row has a name
 */
function namesOf(text) {
  if (!text.includes(NAME_END)) return null;
  return linesOf(text).map((line, k) => line.slice(0, Math.max(0, line.lastIndexOf(NAME_END))).trim() || String(k));
}

/** @param {string} text */
function linesOf(text) {
  return text.trim().split(/\r?\n/);
}

/**
 * @param {string | undefined} text
 * @param {number} otherwise
 */
function counted(text, otherwise) {
  const value = Number(text);
  return text !== undefined && Number.isInteger(value) && value >= 0 ? Math.min(value, MOST_STEPS) : otherwise;
}

/**
 * @param {string} line
 * @param {number} k
 * @param {number} columns
 * @returns {Float32Array}
 */
function numbers(line, k, columns) {
  const values = line
    .slice(line.lastIndexOf(NAME_END) + 1)
    .trim()
    .split(/\s*[,;\t]\s*|\s+/)
    .map((field) => (field === "" ? NaN : Number(field)));
  if (values.length !== columns || values.some((value) => !Number.isFinite(value))) {
    throw new StudioError(
      `row ${k + 1} is "${line.slice(0, 40)}"`,
      `${columns} numbers`,
      "Give one row of numbers per step, separated by commas, if you like after a name and a colon.",
    );
  }
  return Float32Array.from(values);
}

/**
 * A signal that is easy to follow through the cell. It is the same in every column, except for noise and for a sine,
 * which is shifted a little from column to column.
 * @param {Signal} name
 * @param {number} columns
 * @param {number} [steps]
 * @param {number} [seed]
 * @returns {Float32Array[]}
 */
export function signal(name, columns, steps = SIGNAL_STEPS, seed = 0) {
  const random = gaussian(seed);
  const start = Math.floor(steps / 4);
  /** @type {Record<Signal, (t: number, column: number) => number>} */
  const makers = {
    impulse: (t) => (t === start ? 1 : 0),
    step: (t) => (t >= start ? 1 : 0),
    sine: (t, column) => Math.sin((2 * Math.PI * t) / 12 - column * 0.5),
    noise: () => random(),
  };
  const length = Math.max(1, steps);
  return Array.from({ length }, (_, t) => Float32Array.from({ length: columns }, (__, c) => makers[name](t, c)));
}

/**
 * Normally distributed numbers determined by a seed (mulberry32, then Box-Muller).
 * @param {number} seed
 * @returns {() => number}
 */
function gaussian(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
