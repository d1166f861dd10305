// Everything that follows from the sizes: code, shapes, parameters, equations, and how out relates to h_n.

import { equationsOf, factsOf } from "studio/panels/structure/equations.js";
import { codeOf, countOf, flowsOf, parametersOf } from "studio/panels/structure/sizes.js";
import { tableOf } from "studio/panels/structure/table.js";
import { tracksOf } from "studio/runtime/lstm.js";
import { element } from "studio/ui/draw.js";

/** @typedef {import("studio/panels/structure/setup.js").Setup} Setup */

/**
 * @param {Setup} setup
 * @returns {string} the lines of Python that create and call it
 */
export function codeLines(setup) {
  const [input] = flowsOf(setup, setup);
  const name = setup.cell.label.toLowerCase();
  const state = setup.cell.memory === "c" ? "(h_n, c_n)" : "h_n";
  return `${name} = ${codeOf(setup, setup.batchFirst)}\nout, ${state} = ${name}(torch.randn(${input.shape.join(", ")}))`;
}

/**
 * @param {Setup} setup
 * @returns {string[][]}
 */
export function shapeRows(setup) {
  const flows = flowsOf(setup, setup);
  return [
    ["tensor", "axes", "shape", "meaning"],
    ...flows.map(({ name, letters, shape, meaning }) => [name, letters.join(", "), `(${shape.join(", ")})`, meaning]),
  ];
}

/**
 * @param {Setup} setup
 * @returns {string[][]}
 */
export function parameterRows(setup) {
  const rows = tracksOf(setup).flatMap((track) =>
    parametersOf(setup, track).map(({ name, shape, count }) => [name, shape.join("×"), count.toLocaleString("en")]),
  );
  return [["parameter", "shape", "count"], ...rows, ["in all", "", countOf(setup).toLocaleString("en")]];
}

/**
 * @param {Setup} setup
 * @param {readonly string[]} gates
 * @returns {HTMLElement[]}
 */
export function results(setup, gates) {
  return [
    part("Shapes", [tableOf(shapeRows(setup))]),
    part("One step, with all shapes", [equations(setup, gates), ...above(setup, gates)]),
    part(`${countOf(setup).toLocaleString("en")} parameters`, [tableOf(parameterRows(setup))], "st-parameters"),
  ];
}

/**
 * @param {Setup} setup
 * @returns {HTMLElement}
 */
export function claims(setup) {
  return part("How out and h_n are related", [facts(setup)]);
}

/**
 * @param {string} title
 * @param {HTMLElement[]} children
 * @param {string} [kind]
 */
function part(title, children, kind = "") {
  return element("section", { class: `st-part ${kind}` }, [element("h3", { text: title }), ...children]);
}

/**
 * @param {Setup} setup
 * @param {readonly string[]} gates
 * @param {number} [layer]
 */
function equations(setup, gates, layer = 0) {
  const lines = equationsOf(setup, gates, layer).map((pieces) =>
    element(
      "p",
      { class: "st-line-of" },
      pieces.map(({ text, shape }) =>
        element("span", { class: shape ? "st-piece" : "st-sign" }, [
          element("b", { text }),
          element("small", { text: shape || "\u00a0" }),
        ]),
      ),
    ),
  );
  return element("div", { class: "st-equations" }, lines);
}

/**
 * How the layers above differ from the first.
 * @param {Setup} setup
 * @param {readonly string[]} gates
 * @returns {HTMLElement[]}
 */
function above(setup, gates) {
  if (setup.numLayers === 1) return [];
  const [first] = equationsOf(setup, gates, 1),
    names = gates.map((gate) => `W_i${gate}`).join(", ");
  const x = `In the layers above, x is the hidden state of the layer below, ${first[4].shape} numbers`;
  const text = `${x}: there ${names} are ${first[2].shape}.`;
  return [element("p", { class: "soft", text })];
}

/** @param {Setup} setup */
function facts(setup) {
  return element(
    "ul",
    { class: "st-facts" },
    factsOf(setup, setup).map(({ holds, why }) =>
      element("li", {}, [holds ? element("code", { text: holds }) : null, element("span", { text: why })]),
    ),
  );
}
