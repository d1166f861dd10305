// The table of a layer's weights by gate, as hs.LSTM.structure() prints it.

import { sizesOf, weightsOf } from "studio/panels/structure/sizes.js";
import { squashName } from "studio/state/moment.js";
import { element } from "studio/ui/draw.js";

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/panels/structure/sizes.js").Weight} Weight */

const HEAD = ["part", "equation", "name", "shape", "count", "parameter", "rows"];
const NUMERIC = new Set(["shape", "count", "rows"]);

/**
 * The rows in the order of the equations, with each gate's terms below one another.
 * @param {Model} model
 * @param {TrackInfo} track
 * @returns {string[][]}
 */
export function weightsRows(model, track) {
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

/**
 * @param {Weight[]} weights W_i, W_h and, with biases, b_i, b_h
 * @param {string} gate
 * @param {Model} model
 * @returns {string[][]}
 */
function gateRows([input, hidden, ...biases], gate, { cell, meanings }) {
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

/** @param {Weight} weight */
function factsOf({ name, shape, count, parameter, rows }) {
  return [name, shape.join("×"), count.toLocaleString("en"), parameter, rows.join(":")];
}

/**
 * @param {Model} model
 * @param {TrackInfo} track
 * @returns {HTMLElement}
 */
export function weightsTable(model, track) {
  return tableOf(weightsRows(model, track));
}

/**
 * A table whose first row is its head; numbers are right-aligned.
 * @param {string[][]} rows
 * @returns {HTMLElement}
 */
export function tableOf([head, ...rows]) {
  const kind = (/** @type {number} */ k) =>
    NUMERIC.has(head[k]) ? "st-number" : head[k] === "equation" ? "st-equation" : "";
  const line = (/** @type {"th" | "td"} */ tag, /** @type {string[]} */ cells) =>
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
