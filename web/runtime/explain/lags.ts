// Which feature, at which lag: what the target loses when one feature of one step of a series is replaced by its mean,
// or a feature at all steps, or all features of a step. For layers that only read forward.

import type { Rows, Steps } from "studio/runtime/explain/players.js";
import { inputPart, joinedRows, repeated, someRows, targetValues } from "studio/runtime/explain/players.js";
import type { Target } from "studio/runtime/explain/target.js";
import type { Subject } from "studio/types.js";

export interface LagMap {
  whole: number; // the target
  C: number; // features
  parts: Float64Array; // [t + 1, C] what is lost without each feature at each step up to the target's
  byFeature: Float64Array; // [C] without it at all these steps
  byStep: Float64Array; // [t + 1] without all features of a step
}

/** Row 0 replaces nothing, row c + 1 feature c at all steps; those after it begin at a step. Yields row-steps done. */
export function* lagMap(subject: Subject, { t: last, of }: Target): Steps<LagMap> {
  const { cells, initial } = subject;
  const { x, base, read } = subject.source as NonNullable<Subject["source"]>;
  const [C, size] = [base.length, cells[0].kind.gates.length * cells[0].info.units];
  let R = C + 1;
  let states = initial.map((state) => repeated(state, R));
  for (let t = 0; t <= last; t++) {
    const inputs = inputPart(cells[0], read(variants(x.subarray(t * C, (t + 1) * C), base), C + 2), C + 2);
    states = states.map((rows) => joinedRows([rows, repeated(someRows(rows, R, 0, 1), C + 1)]));
    const begun = R;
    R += C + 1;
    let below: Float64Array = new Float64Array(R * size);
    for (let r = 0; r < R; r++) {
      const variant = r <= C ? r : r < begun ? 0 : r - begun + 1;
      below.set(inputs.subarray(variant * size, (variant + 1) * size), r * size);
    }
    const after: Rows[] = [];
    for (const [k, cell] of cells.entries()) {
      if (k > 0) below = inputPart(cell, after[k - 1].h, R);
      after.push(cell.stepRows(below, states[k], R));
    }
    states = after;
    yield R;
  }
  const values = targetValues({ t: last, of, readout: null }, states[states.length - 1].h, R);
  const lost = (row: number) => values[0] - values[row];
  return {
    ...{ whole: values[0], C, byFeature: Float64Array.from(base, (_, c) => lost(c + 1)) },
    parts: Float64Array.from({ length: (last + 1) * C }, (_, k) => lost((C + 1) * (Math.floor(k / C) + 1) + (k % C))),
    byStep: Float64Array.from({ length: last + 1 }, (_, t) => lost((C + 1) * (t + 1) + C)),
  };
}

export const lagMapCost = ({ source }: Subject, { t }: Target): number =>
  (t + 1) * ((source?.base.length ?? 0) + 1) * (t / 2 + 2);

/** A step [C] as it is, with each feature replaced, and with all replaced; returns [C + 2, C]. */
function variants(step: Float32Array, base: Float32Array): Float32Array {
  const C = base.length;
  const out = new Float32Array((C + 2) * C);
  for (let r = 0; r < C + 2; r++) out.set(r > C ? base : step, r * C);
  for (let c = 0; c < C; c++) out[(c + 1) * C + c] = base[c];
  return out;
}
