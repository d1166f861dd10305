// The equations of the cell, shown at the end of the tour.

import type { Model, TrackInfo } from "studio/types.js";

const EQUATIONS = [
  "i = σ(W_ii·x + b_ii + W_hi·h_prev + b_hi)",
  "f = σ(W_if·x + b_if + W_hf·h_prev + b_hf)",
  "g = tanh(W_ig·x + b_ig + W_hg·h_prev + b_hg)",
  "o = σ(W_io·x + b_io + W_ho·h_prev + b_ho)",
  "c = f·c_prev + i·g",
];
const SHOWN = ["h = o·tanh(c)"];
const PROJECTED = ["m = o·tanh(c)", "h = W_hr·m"];

/** Returns the equations of a model's cell, including the projection's if it has one. */
export function equationsOfCell(model: Model | null): string[] {
  const projected = (info: TrackInfo) => info.outputs !== info.units;
  return [...EQUATIONS, ...(model?.tracks.some(projected) ? PROJECTED : SHOWN)];
}
