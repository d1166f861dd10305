// The meaning of the cell's numbers in words, and its equations with numbers filled in, as Python prints them.

import { stepName, wordAt } from "studio/state/tokens.js";
import { format, percent } from "studio/ui/draw.js";

/** @typedef {import("studio/state/moment.js").Moment} Moment */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */

const LONGEST = 9; // characters of a token in a box

/**
 * Returns a size as text; "?" if a recorded run does not contain it.
 * @param {number} size
 * @returns {string}
 */
export function sizeText(size) {
  return size === 0 ? "?" : String(size);
}

/**
 * Returns a number as a factor: in brackets if negative.
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
  return value < 0 ? "would lower c" : "would raise c";
}

/**
 * Describes what happened to the cell state: "up by 0.2446".
 * @param {Moment} moment
 * @returns {string}
 */
export function changeOf({ values }) {
  const change = values.c - values.c_prev;
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
 * Returns the equations of c and h, with the kept and the written part on separate lines.
 * @param {Moment} moment
 * @returns {Line[]}
 */
export function equationLines({ values, shown, computed }) {
  const { i, f, g, o, c_prev, kept, wrote, c } = values;
  const gives = (/** @type {string} */ name) => ({
    value: format(computed[name] ?? values[name]),
    edited: name in computed,
  });
  const sum = `${format(kept)} ${wrote < 0 ? "-" : "+"} ${format(Math.abs(wrote))}`;
  return [
    {
      name: "kept",
      formula: "f·c_prev",
      numbers: `${format(f)}·${factor(c_prev)}`,
      value: format(kept),
      edited: false,
    },
    { name: "written", formula: "i·g", numbers: `${format(i)}·${factor(g)}`, value: format(wrote), edited: false },
    { name: "c", formula: "", numbers: sum, ...gives("c") },
    { name: shown, formula: "o·tanh(c)", numbers: `${format(o)}·tanh(${format(c)})`, ...gives(shown) },
  ];
}

/**
 * Describes where c_prev and h_prev come from: "from step 1, “in”".
 * @param {Run} run
 * @param {number | null} before
 * @param {string} beginning the text for a state that no step of the run produced
 * @returns {string}
 */
export function sourceOf(run, before, beginning) {
  return before === null ? beginning : `from ${nameOf(run, before)}`;
}

/**
 * Describes the initial state of a run: zeros, if nothing was read before it and no state was given.
 * @param {Model} model
 * @param {Track} track
 * @param {boolean} live whether the run is a stream in Python
 * @returns {{label: string, says: string}} for a box, and as a part of a sentence
 */
export function beginningOf({ kind }, track, live) {
  if (kind === "language-model")
    return { label: "from newline", says: "the state after a newline, which the model reads before any text" };
  const zero = [track.h0, track.c0].every((state) => state.every((value) => value === 0));
  if (zero) return { label: "initial state", says: "the initial state, zero" };
  return live
    ? { label: "from earlier", says: "the stream's state before the steps shown" }
    : { label: "initial state", says: "the given initial state" };
}

/**
 * Describes where c and h go.
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
 * @param {boolean} reverse
 * @param {string} unit "word"
 * @param {string} beginning what that state is if no step of the run was read before; "" if one was
 * @returns {string}
 */
export function wayOf(reverse, unit, beginning) {
  const way = reverse ? `from the last ${unit} to the first` : `from the first ${unit} to the last`;
  const before = reverse ? `come from the next ${unit}` : `come from the ${unit} before`;
  return `reads ${way}: c_prev and h_prev ${beginning ? `are ${beginning}` : before}`;
}

/**
 * Describes the whole moment in one sentence, for screen readers.
 * @param {Moment} moment
 * @param {Run} run
 * @returns {string}
 */
export function spokenMoment(moment, run) {
  const { values, track, unit, t, shown } = moment;
  const parts = ["i", "f", "g", "o"].map((gate) => `${gate} ${format(values[gate])}, ${doingOf(gate, values[gate])}`);
  const states = `c ${format(values.c)}, ${changeOf(moment)}; ${shown} ${format(values[shown])}`;
  return `${track.info.name}, ${stepName(run, t)}, unit ${unit}: ${parts.join("; ")}; ${states}`;
}
