// The table of a layer's weights by gate, as hs.LSTM.structure() prints it.

import { type Weight, gateWeights, modelSizes } from "studio/panels/structure/sizes.js";
import { squashName } from "studio/state/moment.js";
import type { Model, TrackInfo } from "studio/types.js";
import { Table } from "studio/ui/form.js";

const HEAD = ["part", "equation", "name", "shape", "count", "parameter", "rows"];
const KINDS: Record<string, string> = {
  ...{ shape: "st-number", count: "st-number", rows: "st-number", equation: "st-equation" },
};

/** The rows in the order of the equations, with each gate's terms below one another. */
export function weightRows(model: Model, track: TrackInfo): string[][] {
  if (!model.hasWeights) return [];
  const weights = gateWeights(modelSizes(model), track, model.gates);
  const gates = model.gates.flatMap((gate) =>
    gateRows(
      weights.filter((weight) => weight.gate === gate),
      gate,
      model,
    ),
  );
  const rest = weights
    .filter(({ gate }) => gate === null)
    .map((weight) => ["projection", "h = W_hr·(o∘tanh(c))", ...cells(weight)]);
  return [HEAD, ...gates, ...rest];
}

/** @param weights W_i, W_h and, with biases, b_i, b_h */
function gateRows([input, hidden, ...biases]: Weight[], gate: string, { cell, meanings }: Model): string[][] {
  const ordered = biases.length ? [input, biases[0], hidden, biases[1]] : [input, hidden];
  const opening = `${gate} = ${squashName(cell, gate)}(`;
  const isReset = cell.parts.n_rh === gate;
  return ordered.map((weight, k) => {
    const factor = weight === input ? "·x" : weight === hidden ? "·h_prev" : "";
    const left = k ? "+ ".padStart(opening.length) : opening,
      right = k < ordered.length - 1 ? "" : isReset ? "))" : ")";
    const before = isReset && weight === hidden ? "r∘(" : "";
    return [k ? "" : meanings[gate], left + before + weight.name + factor + right, ...cells(weight)];
  });
}

function cells({ name, shape, count, parameter, rows }: Weight) {
  return [name, shape.join("×"), count.toLocaleString("en"), parameter, rows.join(":")];
}

/** A table whose first row is its head; numbers are right-aligned. */
export function RowTable({ rows }: { rows: string[][] }) {
  return (
    <div class="st-scroll">
      <Table class="st-rows" rows={rows} kind={(column) => KINDS[rows[0][column]]} />
    </div>
  );
}
