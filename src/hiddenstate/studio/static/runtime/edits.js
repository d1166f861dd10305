// Edits bound to one run, with their places checked and their steps and units resolved. They mean the same as in Python
// (hiddenstate.edits): edits of the same place are applied in the given order.

import { StudioError } from "studio/runtime/errors.js";

/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */

/**
 * @typedef {object} BoundEdit
 * @property {string} track
 * @property {string} quantity "f", or "f_pre" before the sigmoid
 * @property {Edit["kind"]} kind
 * @property {number} value
 * @property {readonly number[]} units
 * @property {Set<number> | null} times null: every step
 * @property {boolean} readout
 */

const PLACE = /^(l(?:0|[1-9][0-9]*)r?)\.(\w+)$/;
const KINDS = ["set", "scale", "add"];
const SCOPES = ["write", "readout"];

/**
 * @param {readonly Edit[]} edits
 * @param {readonly TrackInfo[]} tracks
 * @param {CellKind} kind
 * @param {number | null} T steps of the run; null for a stream, which has no end
 * @returns {BoundEdit[]}
 */
export function bind(edits, tracks, kind, T) {
  return edits.map((edit) => bound(edit, tracks, kind, T));
}

/**
 * @param {Edit} edit
 * @param {readonly TrackInfo[]} tracks
 * @param {CellKind} cell
 * @param {number | null} T
 * @returns {BoundEdit}
 */
function bound(edit, tracks, cell, T) {
  const { kind, value, scope, unit = null, t = null } = edit;
  oneOf(kind, KINDS, "kind");
  oneOf(scope, SCOPES, "scope");
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new StudioError(`an edit of ${edit.place} has the value ${value}`, "a number", "Type a finite number.");
  }
  const [info, quantity] = placed(edit.place, tracks, cell);
  const units = resolved(unit, quantity === "h" ? info.outputs : info.units, "unit");
  return {
    ...{ track: info.name, quantity, kind, value, units },
    times: t === null ? null : new Set(T === null ? ahead(t) : resolved(t, T, "step")),
    readout: scope === "readout",
  };
}

/**
 * @param {string} place
 * @param {readonly TrackInfo[]} tracks
 * @param {CellKind} cell
 * @returns {[TrackInfo, string]}
 */
function placed(place, tracks, cell) {
  const [, track, quantity] = PLACE.exec(place) ?? [null, "", ""];
  const info = tracks.find((each) => each.name === track);
  oneOf(quantity, placesOf(cell), `place ${place}:`);
  if (info === undefined) {
    const have = tracks.map((each) => each.name).join(" ");
    throw new StudioError(`an edit of ${place}`, `one of the layers and directions ${have}`, "Choose one of them.");
  }
  return [info, quantity];
}

/**
 * All places that an edit can change: gates, states and pre-activations.
 * @param {CellKind} cell
 * @returns {string[]}
 */
export function placesOf({ gates, states, parts }) {
  return [...new Set([...gates, ...states, ...gates.map((gate) => `${gate}_pre`), ...Object.keys(parts)])];
}

/**
 * @param {string} value
 * @param {string[]} allowed
 * @param {string} what
 */
function oneOf(value, allowed, what) {
  if (!allowed.includes(value)) {
    throw new StudioError(`an edit of ${what} ${value}`, `one of ${allowed.join(" ")}`, "Choose one of them.");
  }
}

/**
 * Indices within `size`; negative ones count from the end.
 * @param {readonly number[] | null} chosen
 * @param {number} size
 * @param {string} what
 * @returns {number[]}
 */
function resolved(chosen, size, what) {
  if (chosen === null) return Array.from({ length: size }, (_, k) => k);
  for (const k of chosen) {
    if (!Number.isInteger(k) || k < -size || k >= size) {
      const advice = "Choose an existing one, or drop the edit.";
      throw new StudioError(`an edit of ${what} ${k}`, `0 to ${size - 1}`, advice);
    }
  }
  return distinct(chosen.map((k) => (k < 0 ? k + size : k)), what);
}

/**
 * The steps of a stream, some of which may be in the future.
 * @param {readonly number[]} chosen
 * @returns {number[]}
 */
function ahead(chosen) {
  for (const k of chosen) {
    if (!Number.isInteger(k) || k < 0) {
      throw new StudioError(`an edit of step ${k} of a stream`, "a step of at least 0", "Count from the stream's start.");
    }
  }
  return distinct([...chosen], "step");
}

/**
 * @param {number[]} positions
 * @param {string} what
 * @returns {number[]}
 */
function distinct(positions, what) {
  if (new Set(positions).size < positions.length) {
    throw new StudioError(`an edit of ${what}s ${positions.join(" ")}`, "distinct values", "Name each one once.");
  }
  return positions;
}

/**
 * @param {BoundEdit} edit
 * @param {Float32Array | Float64Array} values of the place at one step, changed
 */
export function apply(edit, values) {
  const { kind, value } = edit;
  for (const unit of edit.units) {
    const old = Math.fround(values[unit]);
    values[unit] = Math.fround(kind === "set" ? value : kind === "scale" ? old * value : old + value);
  }
}
