// An edit in progress: the values offered by the editor's controls.

import { placeParts } from "studio/state/edits.js";
import { isSequential } from "studio/state/ranges.js";
import { valueAt } from "studio/state/units.js";
import type { Edit, Run } from "studio/types.js";
import { windowSize } from "studio/ui/visibility.js";

export interface Spot {
  place: string;
  unit: number;
  t: number;
  value: number;
}

type Range = { low: number; high: number; begin: number };

/** The slider's range for a kind of edit of a quantity; `value`: the current value. */
export function sliderRange(place: string, kind: Edit["kind"], value: number): Range {
  const { quantity } = placeParts(place);
  if (kind === "scale") return { low: -2, high: 3, begin: 0 };
  const bound = quantity === "c" ? 2 : 1;
  const high = quantity.endsWith("_pre") ? 10 : Math.max(bound, Math.ceil(Math.abs(value) || 0));
  const isGate = isSequential(quantity) && kind === "set";
  return { low: isGate ? 0 : -high, high, begin: isGate && value < 0.5 ? 1 : 0 }; // the most useful edit opens, closes or zeroes
}

export function draftAt(spot: Spot): Edit {
  const value = sliderRange(spot.place, "set", spot.value).begin;
  return { place: spot.place, kind: "set", value, unit: [spot.unit], t: [spot.t], scope: "write" };
}

/** The spot of an existing edit: its first unit and step. */
export function editSpot(edit: Edit, run: Run): Spot {
  const { track, quantity } = placeParts(edit.place);
  const [unit, t] = [edit.unit?.[0] ?? 0, edit.t?.[0] ?? 0];
  return { place: edit.place, unit, t, value: valueInRun(run, track, quantity, unit, t) };
}

/** A run's value at a place; NaN if it has none. */
export function valueInRun(run: Run, name: string, quantity: string, unit: number, t: number): number {
  const track = run.tracks.find(({ info }) => info.name === name);
  return track ? valueAt(track, quantity, unit, t) : NaN;
}

export const SCOPES = {
  write: "The changed value is carried on to later steps.",
  readout: "Only this step's output uses the changed value; the state carried to the next step does not.",
};

const GAP = 10;

/** Puts a box beside a rectangle; in a narrow window, the style sheet makes it a sheet at the bottom instead. */
export function placeBeside(box: HTMLElement, at: DOMRect) {
  const { offsetWidth: width, offsetHeight: height } = box;
  const [roomX, roomY] = windowSize();
  const right = at.right + GAP + width <= roomX - GAP;
  const left = at.left - GAP - width >= GAP;
  const x = right ? at.right + GAP : left ? at.left - GAP - width : inside(at.left, width, roomX);
  const beside = right || left;
  const below = at.bottom + GAP + height <= roomY;
  const y = beside ? at.top - height / 3 : below ? at.bottom + GAP : at.top - GAP - height;
  box.style.left = `${inside(x, width, roomX)}px`;
  box.style.top = `${inside(y, height, roomY)}px`;
}

function inside(start: number, size: number, room: number): number {
  return Math.round(Math.max(GAP, Math.min(start, room - size - GAP)));
}
