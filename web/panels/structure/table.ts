// The table of a layer's weights by gate, as hs.LSTM.structure() prints it.

import { type Weight, sizesOf, weightsOf } from "studio/panels/structure/sizes.js";
import { squashName } from "studio/state/moment.js";
import type { Model, TrackInfo } from "studio/types.js";
import { element } from "studio/ui/draw.js";

const HEAD = ["part", "equation", "name", "shape", "count", "parameter", "rows"];
const NUMERIC = new Set(["shape", "count", "rows"]);

/** The rows in the order of the equations, with each gate's terms below one another. */
export function weightsRows(model: Model, track: TrackInfo): string[][] {
  if (!model.hasWeights) return [];
  const sizes = sizesOf(model),
    weights = weightsOf(sizes, track, model.gates);
  const gates = model.gates.flatMap((gate) =>
    gateRows(
      weights.filter((weight) => weight.gate === gate),
      gate,
      model,
    ),
  );
  const rest = weights
    .filter(({ gate }) => gate === null)
    .map((weight) => ["projection", "h = W_hr·(o∘tanh(c))", ...factsOf(weight)]);
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
    return [k ? "" : meanings[gate], left + before + weight.name + factor + right, ...factsOf(weight)];
  });
}

function factsOf({ name, shape, count, parameter, rows }: Weight) {
  return [name, shape.join("×"), count.toLocaleString("en"), parameter, rows.join(":")];
}

export function weightsTable(model: Model, track: TrackInfo): HTMLElement {
  return tableOf(weightsRows(model, track));
}

/** A table whose first row is its head; numbers are right-aligned. */
export function tableOf([head, ...rows]: string[][]): HTMLElement {
  const kind = (k: number) => (NUMERIC.has(head[k]) ? "st-number" : head[k] === "equation" ? "st-equation" : "");
  const line = (tag: "th" | "td", cells: string[]) =>
    element(
      "tr",
      {},
      cells.map((text, k) => element(tag, { text, class: kind(k) || undefined })),
    );
  return element("div", { class: "st-scroll" }, [
    element("table", { class: "st-rows" }, [
      element("thead", {}, [line("th", head)]),
      element(
        "tbody",
        {},
        rows.map((row) => line("td", row)),
      ),
    ]),
  ]);
}
