// Describes a step in one sentence: the token, and what the layer's gates do on average.

import { neighbours } from "studio/state/moment.js";
import { wordAt } from "studio/state/tokens.js";
import { memoryOf, trackOf } from "studio/state/units.js";
import { percent } from "studio/ui/draw.js";

/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").View} View */

const LONGEST = 18; // maximum number of characters in a word

/**
 * Returns why there is nothing to play; "" if there is.
 * @param {Pick<import("studio/state/types.js").App["session"], "run" | "model">} session
 * @returns {string}
 */
export function nothingToPlay({ run, model }) {
  if (run === null || model === null) return "Nothing has been read yet.";
  return run.steps > 1 ? "" : `There is only one ${model.unit}, so there is nothing to play.`;
}

/**
 * @param {Run} run
 * @param {Pick<View, "step" | "track">} view
 * @returns {string}
 */
export function tellStep(run, { step, track: name }) {
  const track = trackOf(run, name);
  if (step >= run.steps) return "";
  const word = wordAt(run, step, LONGEST);
  const reads = `${track.info.name} reads ${word === "" ? `step ${step}` : `\u201c${word}\u201d`}`;
  const does = gatesSay(track, step, isAtRest(track, step, run.steps));
  return does === "" ? `${reads}.` : `${reads}: ${does}.`;
}

/**
 * @param {Track} track
 * @param {number} t
 * @param {boolean} empty whether there is no memory yet
 * @returns {string} "" if a gate was not recorded
 */
function gatesSay({ values, info }, t, empty) {
  const [f, i, o, r, z] = ["f", "i", "o", "r", "z"].map((gate) => mean(values[gate], t, info.units));
  const means = `(mean of ${info.units} units)`;
  const nothing = "there is no memory to keep yet";
  if ([r, z].every(Number.isFinite)) {
    const keeps = empty ? nothing : `the update gate keeps ${percent(z)} of the memory`;
    return `${keeps}; the reset gate lets the candidate read ${percent(r)} of it ${means}`;
  }
  if (![f, i, o].every(Number.isFinite)) return "";
  const keeps = empty ? nothing : `the forget gate keeps ${percent(f)} of the memory`;
  const others = `the input gate lets in ${percent(i)} of the candidate, the output gate outputs ${percent(o)}`;
  return `${keeps}; ${others} ${means}`;
}

/**
 * Whether the memory before a step is zero because the run starts there.
 * @param {Track} track
 * @param {number} t
 * @param {number} steps
 */
function isAtRest(track, t, steps) {
  return neighbours(track, t, steps).before === null && track.initial[memoryOf(track)].every((value) => value === 0);
}

/**
 * @param {Float32Array | undefined} values
 * @param {number} t
 * @param {number} units
 */
function mean(values, t, units) {
  if (values === undefined) return NaN;
  return values.subarray(t * units, (t + 1) * units).reduce((sum, value) => sum + value, 0) / units;
}
