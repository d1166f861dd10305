// The meaning of the cell's numbers in words, and its equations with numbers filled in, as Python prints them.

import { memoryBefore, squashName } from "studio/state/moment.js";
import { stepName, wordAt } from "studio/state/tokens.js";
import { format, percent } from "studio/ui/draw.js";

/** @typedef {import("studio/state/moment.js").Moment} Moment */
/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */

const LONGEST = 9; // maximum number of characters of a token shown in a box

/**
 * Returns a size as text, or "?" if a recorded run does not contain it.
 * @param {number} size
 * @returns {string}
 */
export function sizeText(size) {
  return size === 0 ? "?" : String(size);
}

/**
 * Returns a number as a factor, in brackets if it is negative.
 * @param {number} value
 * @returns {string}
 */
export function factor(value) {
  return value < 0 ? `(${format(value)})` : format(value);
}

/**
 * Describes in a few words what a gate's value does.
 * @param {string} gate
 * @param {number} value
 * @returns {string}
 */
export function doingOf(gate, value) {
  if (!Number.isFinite(value)) return "no number";
  if (gate === "f") return `keeps ${percent(value)} of c_prev`;
  if (gate === "i") return `writes ${percent(value)} of g`;
  if (gate === "o") return `outputs ${percent(value)} of tanh(c)`;
  if (gate === "z") return `keeps ${percent(value)} of h_prev`;
  if (gate === "r") return `n reads ${percent(value)} of n_h`;
  if (gate === "n") return "h moves towards it";
  if (gate === "h") return "memory and output";
  return value < 0 ? "would lower c" : "would raise c";
}

/**
 * Describes what happened to the memory: "up by 0.2446".
 * @param {Moment} moment
 * @returns {string}
 */
export function changeOf({ values, cell }) {
  const change = values[cell.memory] - values[memoryBefore(cell)];
  if (!Number.isFinite(change)) return "no number";
  return `${change < 0 ? "down" : "up"} by ${format(Math.abs(change))}`;
}

/**
 * @typedef {object} Line one equation
 * @property {string} name "kept"
 * @property {string} formula "f·c_prev"; "" if the numbers suffice
 * @property {string} numbers "0.0259·0.2446"
 * @property {string} value "0.0063": what the equation gives
 * @property {boolean} edited whether the run has a different value
 */

/**
 * Returns the equations of the states, with the kept and the written part on separate lines.
 * @param {Moment} moment
 * @returns {Line[]}
 */
export function equationLines(moment) {
  return LINES[moment.cell.label](moment);
}

/** @type {(moment: Moment) => Line[]} */
function lstmLines(moment) {
  const { i, f, g, o, c_prev, kept, wrote, c } = moment.values;
  const { shown } = moment;
  return [
    line("kept", "f·c_prev", `${format(f)}·${factor(c_prev)}`, kept),
    line("written", "i·g", `${format(i)}·${factor(g)}`, wrote),
    { ...result(moment, "c"), numbers: sumOf(kept, wrote) },
    { ...result(moment, shown), formula: "o·tanh(c)", numbers: `${format(o)}·tanh(${format(c)})` },
  ];
}

/** @type {(moment: Moment) => Line[]} */
function gruLines(moment) {
  const { r, z, n, h_prev, n_h, n_rh, kept, write, wrote } = moment.values;
  const reads = line("n_rh", "r·n_h", `${format(r)}·${factor(n_h)}`, n_rh);
  return [
    ...(Number.isFinite(n_h) ? [reads] : []),
    line("kept", "z·h_prev", `${format(z)}·${factor(h_prev)}`, kept),
    line("written", "(1-z)·n", `${format(write)}·${factor(n)}`, wrote),
    { ...result(moment, "h"), numbers: sumOf(kept, wrote) },
  ];
}

/** @type {(moment: Moment) => Line[]} */
function rnnLines(moment) {
  const { from_x, from_h, sum } = moment.values;
  const name = squashName(moment.cell, "h");
  const h = { ...result(moment, "h"), formula: `${name}(sum)`, numbers: `${name}(${format(sum)})` };
  if (!Number.isFinite(from_h)) return [h];
  return [
    line("from x", "", "W_ih·x + b_ih", from_x),
    line("from h", "", "W_hh·h_prev + b_hh", from_h),
    line("sum", "", sumOf(from_x, from_h), sum),
    h,
  ];
}

/** @type {Record<string, (moment: Moment) => Line[]>} */
const LINES = { LSTM: lstmLines, GRU: gruLines, RNN: rnnLines };

/** @type {(name: string, formula: string, numbers: string, value: number) => Line} */
const line = (name, formula, numbers, value) => ({ name, formula, numbers, value: format(value), edited: false });

/**
 * The line of a state, which an edit may have replaced.
 * @param {Moment} moment
 * @param {string} name
 * @returns {Line}
 */
function result({ values, computed }, name) {
  return { ...line(name, "", "", computed[name] ?? values[name]), edited: name in computed };
}

/** @type {(a: number, b: number) => string} */
const sumOf = (a, b) => `${format(a)} ${b < 0 ? "-" : "+"} ${format(Math.abs(b))}`;

/**
 * Describes where the previous states come from: "from step 1, “in”".
 * @param {Run} run
 * @param {number | null} before
 * @param {string} beginning the text for a state that no step of the run produced
 * @returns {string}
 */
export function sourceOf(run, before, beginning) {
  return before === null ? beginning : `from ${nameOf(run, before)}`;
}

/**
 * Describes the initial state of a run: zeros if nothing was read before it and no state was given.
 * @param {Model} model
 * @param {Track} track
 * @param {boolean} live whether the run is a stream in Python
 * @returns {{label: string, says: string}} for a box, and as a part of a sentence
 */
export function beginningOf({ kind }, track, live) {
  if (kind === "language-model")
    return { label: "from newline", says: "the state after a newline, which the model reads before any text" };
  const zero = Object.values(track.initial).every((state) => state.every((value) => value === 0));
  if (zero) return { label: "initial state", says: "the initial state, zero" };
  return live
    ? { label: "from earlier", says: "the stream's state before the steps shown" }
    : { label: "initial state", says: "the given initial state" };
}

/**
 * Describes where the states go.
 * @param {Run} run
 * @param {number | null} after
 * @returns {string}
 */
export function targetOf(run, after) {
  return after === null ? "final state" : `to ${nameOf(run, after)}`;
}

/**
 * @param {Run} run
 * @param {number} t
 */
function nameOf(run, t) {
  const word = wordAt(run, t, LONGEST);
  return word === "" ? `step ${t}` : `“${word}”`;
}

/**
 * Describes the reading direction and the previous state.
 * @param {CellKind} cell
 * @param {boolean} reverse
 * @param {string} unit "word"
 * @param {string} beginning what that state is if no step of the run was read before; "" if one was
 * @returns {string}
 */
export function wayOf({ carried }, reverse, unit, beginning) {
  const way = reverse ? `from the last ${unit} to the first` : `from the first ${unit} to the last`;
  const many = carried.length > 1;
  const comes = many ? "come" : "comes";
  const before = reverse ? `${comes} from the next ${unit}` : `${comes} from the ${unit} before`;
  const states = [...carried].sort().map((state) => `${state}_prev`);
  return `reads ${way}: ${states.join(" and ")} ${beginning ? `${many ? "are" : "is"} ${beginning}` : before}`;
}

/**
 * Describes the whole moment in one sentence, for screen readers.
 * @param {Moment} moment
 * @param {Run} run
 * @returns {string}
 */
export function spokenMoment(moment, run) {
  const { cell, values, track, unit, t, shown } = moment;
  const gates = GATES_AS_SPOKEN[cell.label] ?? [];
  const parts = gates.map((gate) => `${gate} ${format(values[gate])}, ${doingOf(gate, values[gate])}`);
  const memory = `${cell.memory} ${format(values[cell.memory])}, ${changeOf(moment)}`;
  const states = cell.memory === "h" ? [memory] : [memory, `${shown} ${format(values[shown])}`];
  return `${track.info.name}, ${stepName(run, t)}, unit ${unit}: ${[...parts, ...states].join("; ")}`;
}

/** @type {Record<string, string[]>} */
const GATES_AS_SPOKEN = { LSTM: ["i", "f", "g", "o"], GRU: ["r", "z", "n"] };
