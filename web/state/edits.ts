// Determines which edits apply to a run. An edit is inactive while the step, unit or layer that it names does not
// exist.

import { quantityWidth } from "studio/state/run.js";
import type { Edit, Model } from "studio/types.js";

/** Splits a place, "l1r.f_pre", into its track and its quantity. */
export function placeParts(place: string): { track: string; quantity: string } {
  const dot = place.indexOf(".");
  return { track: place.slice(0, dot), quantity: place.slice(dot + 1) };
}

/** Returns the first chosen index that does not exist; negative ones count from the end. */
const missing = (chosen: readonly number[] | null, size: number): number | undefined =>
  chosen?.find((k) => k >= size || k < -size);

/** Why an edit can't apply to a run with this many steps, called `unit`s; "" if it can. */
export function restingReason(edit: Edit, model: Model, steps: number, unit: string = model.unit): string {
  const { track, quantity } = placeParts(edit.place);
  const info = model.tracks.find((one) => one.name === track);
  if (!model.hasWeights) return "a recorded trace has no weights and can't be run again";
  if (!info) return `this model has no ${track}`;
  if (!model.quantities.includes(quantity.replace(/_pre$/, ""))) return `this model has no ${quantity}`;
  const width = quantityWidth(info, quantity);
  const noUnit = missing(edit.unit, width);
  if (noUnit !== undefined) return `${edit.place} has no unit ${noUnit}, only 0 to ${width - 1}`;
  const noStep = missing(edit.t, steps);
  if (noStep !== undefined) return `there is no step ${noStep} here: the last ${unit} is step ${steps - 1}`;
  return "";
}

export const inForce = (edits: readonly Edit[], model: Model, steps: number): Edit[] =>
  edits.filter((edit) => restingReason(edit, model, steps) === "");
