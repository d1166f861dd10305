// Determines which edits apply to a run. An edit is inactive while the step, unit or layer that it names does not
// exist.

import { widthOf } from "studio/state/units.js";

/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */

/**
 * Splits a place, "l1r.f_pre", into its track and its quantity.
 * @param {string} place
 * @returns {{track: string, quantity: string}}
 */
export function partsOf(place) {
  const dot = place.indexOf(".");
  return { track: place.slice(0, dot), quantity: place.slice(dot + 1) };
}

/**
 * Returns the first chosen index that does not exist; negative ones count from the end.
 * @param {readonly number[] | null} chosen
 * @param {number} size
 * @returns {number | undefined}
 */
function missing(chosen, size) {
  return chosen?.find((k) => k >= size || k < -size);
}

/**
 * Returns why an edit can't apply to a run with this many steps; "" if it can.
 * @param {Edit} edit
 * @param {Model} model
 * @param {number} steps
 * @param {string} [unit] what a step is called: "word"
 * @returns {string}
 */
export function restingReason(edit, model, steps, unit = model.unit) {
  const { track, quantity } = partsOf(edit.place);
  const info = model.tracks.find((one) => one.name === track);
  if (!model.hasWeights) return "a recorded trace has no weights and can't be run again";
  if (!info) return `this model has no ${track}`;
  if (!model.quantities.includes(quantity.replace(/_pre$/, ""))) return `this model has no ${quantity}`;
  const width = widthOf(info, quantity);
  const noUnit = missing(edit.unit, width);
  if (noUnit !== undefined) return `${edit.place} has no unit ${noUnit}, only 0 to ${width - 1}`;
  const noStep = missing(edit.t, steps);
  if (noStep !== undefined) return `there is no step ${noStep} here: the last ${unit} is step ${steps - 1}`;
  return "";
}

/**
 * Returns the edits that apply.
 * @param {readonly Edit[]} edits
 * @param {Model} model
 * @param {number} steps
 * @returns {Edit[]}
 */
export function inForce(edits, model, steps) {
  return edits.filter((edit) => restingReason(edit, model, steps) === "");
}
