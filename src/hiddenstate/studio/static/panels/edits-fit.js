// Which edits a run can have. Those that name a step, a unit or a layer that is not there rest until it is.

/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Model} Model */

/**
 * Take "l1r.f_pre" apart.
 * @param {string} place
 * @returns {{track: string, quantity: string}}
 */
export function partsOf(place) {
  const dot = place.indexOf(".");
  return { track: place.slice(0, dot), quantity: place.slice(dot + 1) };
}

/**
 * Say why an edit can't hold in a run of so many steps; "" when it can.
 * @param {Edit} edit
 * @param {Model} model
 * @param {number} steps
 * @param {string} [unit] what a step is called: "word"
 * @returns {string}
 */
export function restingReason(edit, model, steps, unit = model.unit) {
  const { track, quantity } = partsOf(edit.place);
  const info = model.tracks.find((one) => one.name === track);
  if (!model.hasWeights) return "a recorded trace has no weights to run with";
  if (!info) return `this model has no ${track}`;
  if (!model.quantities.includes(quantity.replace(/_pre$/, ""))) return `this model has no ${quantity}`;
  const tooHigh = (edit.unit ?? []).find((k) => k >= info.units);
  if (tooHigh !== undefined) return `${track} has no unit ${tooHigh}, only 0 to ${info.units - 1}`;
  const late = (edit.t ?? []).find((t) => t >= steps);
  if (late !== undefined) return `there is no step ${late} here: the last ${unit} is step ${steps - 1}`;
  return "";
}

/**
 * Those of the edits that can hold.
 * @param {readonly Edit[]} edits
 * @param {Model} model
 * @param {number} steps
 * @returns {Edit[]}
 */
export function inForce(edits, model, steps) {
  return edits.filter((edit) => restingReason(edit, model, steps) === "");
}
