// An edit in progress: the values offered by the editor's controls.

import { partsOf } from "studio/state/edits.js";
import { isSequential } from "studio/state/ranges.js";
import { widthOf } from "studio/state/units.js";

/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Run} Run */

/**
 * Where a value was clicked.
 * @typedef {object} Spot
 * @property {string} place
 * @property {number} unit
 * @property {number} t
 * @property {number} value
 */

/** @typedef {{low: number, high: number, begin: number}} Range */

/**
 * The slider's range for a kind of edit of a quantity.
 * @param {string} place
 * @param {Edit["kind"]} kind
 * @param {number} value the current value
 * @returns {Range}
 */
export function rangeOf(place, kind, value) {
  const { quantity } = partsOf(place);
  if (kind === "scale") return { low: -2, high: 3, begin: 0 };
  const high = reach(quantity, value);
  const low = isSequential(quantity) && kind === "set" ? 0 : -high;
  return { low, high, begin: kind === "set" ? opposite(quantity, value) : 0 };
}

/**
 * How far a slider reaches: to the bound of a gate or of h, and further for unbounded values.
 * @param {string} quantity
 * @param {number} value
 * @returns {number}
 */
function reach(quantity, value) {
  if (quantity.endsWith("_pre")) return 10;
  return quantity === "c" ? Math.max(2, Math.ceil(Math.abs(value))) : Math.max(1, Math.ceil(Math.abs(value) || 0));
}

/**
 * The most useful first edit: close an open gate, open a closed one, or zero a state.
 * @param {string} quantity
 * @param {number} value
 * @returns {number}
 */
function opposite(quantity, value) {
  return isSequential(quantity) && value < 0.5 ? 1 : 0;
}

/**
 * An edit of one unit at one step.
 * @param {Spot} spot
 * @returns {Edit}
 */
export function draftAt(spot) {
  const value = rangeOf(spot.place, "set", spot.value).begin;
  return { place: spot.place, kind: "set", value, unit: [spot.unit], t: [spot.t], scope: "write" };
}

/**
 * The spot of an existing edit: its first unit and step.
 * @param {Edit} edit
 * @param {Run} run
 * @returns {Spot}
 */
export function spotOf(edit, run) {
  const { track, quantity } = partsOf(edit.place);
  const [unit, t] = [edit.unit?.[0] ?? 0, edit.t?.[0] ?? 0];
  return { place: edit.place, unit, t, value: valueInRun(run, track, quantity, unit, t) };
}

/**
 * A run's value at a place; NaN if it has none.
 * @param {Run} run
 * @param {string} track
 * @param {string} quantity
 * @param {number} unit
 * @param {number} t
 * @returns {number}
 */
export function valueInRun(run, track, quantity, unit, t) {
  const found = run.tracks.find(({ info }) => info.name === track);
  return found?.values[quantity]?.[t * widthOf(found.info, quantity) + unit] ?? NaN;
}

export const SCOPES = {
  write: "The changed value is carried on to later steps.",
  readout: "Only this step's output uses the changed value; the state carried to the next step does not.",
};
