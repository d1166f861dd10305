// Edits bound to one run, with their places checked and their steps and units resolved. They mean the same as in Python
// (hiddenstate.edits): edits of the same place are applied in the given order.

import { EDIT_KINDS, EDIT_SCOPES } from "studio/facts.js";
import { ModelError } from "studio/runtime/errors.js";
import type { CellKind } from "studio/runtime/kinds.js";
import type { Edit, TrackInfo } from "studio/types.js";

export interface BoundEdit {
  track: string;
  quantity: string; // "f", or "f_pre" before the sigmoid
  kind: Edit["kind"];
  value: number;
  units: readonly number[];
  times: Set<number> | null; // null: every step
  readout: boolean;
}

const PLACE = /^(l(?:0|[1-9][0-9]*)r?)\.(\w+)$/;

/** @param T steps of the run; null for a stream, which has no end */
export function bound(edit: Edit, tracks: readonly TrackInfo[], cell: CellKind, T: number | null): BoundEdit {
  const { kind, value, scope, unit = null, t = null } = edit;
  oneOf(kind, EDIT_KINDS, "kind");
  oneOf(scope, EDIT_SCOPES, "scope");
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new ModelError(`an edit of ${edit.place} has the value ${value}`, "a number", "Type a finite number.");
  }
  const [info, quantity] = placed(edit.place, tracks, cell);
  const units = resolved(unit, quantity === "h" ? info.outputs : info.units, "unit");
  return {
    ...{ track: info.name, quantity, kind, value, units },
    times: t === null ? null : new Set(T === null ? ahead(t) : resolved(t, T, "step")),
    readout: scope === "readout",
  };
}

function placed(place: string, tracks: readonly TrackInfo[], cell: CellKind): [TrackInfo, string] {
  const [, track, quantity] = PLACE.exec(place) ?? [null, "", ""];
  const info = tracks.find((each) => each.name === track);
  const { gates, states, parts } = cell;
  const places = [...gates, ...states, ...gates.map((gate) => `${gate}_pre`), ...Object.keys(parts)];
  oneOf(quantity, [...new Set(places)], `place ${place}:`);
  if (info === undefined) {
    const have = tracks.map((each) => each.name).join(" ");
    throw new ModelError(`an edit of ${place}`, `one of the layers and directions ${have}`, "Choose one of them.");
  }
  return [info, quantity];
}

function oneOf(value: string, allowed: string[], what: string) {
  if (!allowed.includes(value)) {
    throw new ModelError(`an edit of ${what} ${value}`, `one of ${allowed.join(" ")}`, "Choose one of them.");
  }
}

/** Indices within `size`; negative ones count from the end. */
function resolved(chosen: readonly number[] | null, size: number, what: string): number[] {
  if (chosen === null) return Array.from({ length: size }, (_, k) => k);
  for (const k of chosen) {
    if (!Number.isInteger(k) || k < -size || k >= size) {
      const advice = "Choose an existing one, or drop the edit.";
      throw new ModelError(`an edit of ${what} ${k}`, `0 to ${size - 1}`, advice);
    }
  }
  const positions = chosen.map((k) => (k < 0 ? k + size : k));
  return distinct(positions, what);
}

/** The steps of a stream, some of which may be in the future. */
function ahead(chosen: readonly number[]): number[] {
  for (const k of chosen) {
    if (Number.isInteger(k) && k >= 0) continue;
    throw new ModelError(`an edit of step ${k} of a stream`, "a step of at least 0", "Count from the stream's start.");
  }
  return distinct([...chosen], "step");
}

function distinct(positions: number[], what: string): number[] {
  if (new Set(positions).size < positions.length) {
    throw new ModelError(`an edit of ${what}s ${positions.join(" ")}`, "distinct values", "Name each one once.");
  }
  return positions;
}

export function apply(edit: BoundEdit, values: Float32Array | Float64Array) {
  const { kind, value } = edit;
  for (const unit of edit.units) {
    const old = Math.fround(values[unit]);
    values[unit] = Math.fround(kind === "set" ? value : kind === "scale" ? old * value : old + value);
  }
}
