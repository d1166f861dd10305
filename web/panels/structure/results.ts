// Everything that follows from the sizes: code, shapes, parameters, equations, and how out relates to h_n.

import { equationsOf, factsOf } from "studio/panels/structure/equations.js";
import type { Setup } from "studio/panels/structure/setup.js";
import { codeOf, countOf, flowsOf, parametersOf } from "studio/panels/structure/sizes.js";
import { tableOf } from "studio/panels/structure/table.js";
import { tracksOf } from "studio/runtime/lstm.js";
import { element } from "studio/ui/draw.js";

/** @returns the lines of Python that create and call it */
export function codeLines(setup: Setup): string {
  const [input] = flowsOf(setup, setup);
  const name = setup.cell.label.toLowerCase();
  const state = setup.cell.memory === "c" ? "(h_n, c_n)" : "h_n";
  return `${name} = ${codeOf(setup, setup.batchFirst)}\nout, ${state} = ${name}(torch.randn(${input.shape.join(", ")}))`;
}

export function shapeRows(setup: Setup): string[][] {
  const flows = flowsOf(setup, setup);
  return [
    ["tensor", "axes", "shape", "meaning"],
    ...flows.map(({ name, letters, shape, meaning }) => [name, letters.join(", "), `(${shape.join(", ")})`, meaning]),
  ];
}

export function parameterRows(setup: Setup): string[][] {
  const rows = tracksOf(setup).flatMap((track) =>
    parametersOf(setup, track).map(({ name, shape, count }) => [name, shape.join("×"), count.toLocaleString("en")]),
  );
  return [["parameter", "shape", "count"], ...rows, ["in all", "", countOf(setup).toLocaleString("en")]];
}

export function results(setup: Setup, gates: readonly string[]): HTMLElement[] {
  return [
    part("Shapes", [tableOf(shapeRows(setup))]),
    part("One step, with all shapes", [equations(setup, gates), ...above(setup, gates)]),
    part(`${countOf(setup).toLocaleString("en")} parameters`, [tableOf(parameterRows(setup))], "st-parameters"),
  ];
}

export function claims(setup: Setup): HTMLElement {
  return part("How out and h_n are related", [facts(setup)]);
}

function part(title: string, children: HTMLElement[], kind: string = "") {
  return element("section", { class: `st-part ${kind}` }, [element("h3", { text: title }), ...children]);
}

function equations(setup: Setup, gates: readonly string[], layer: number = 0) {
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

/** How the layers above differ from the first. */
function above(setup: Setup, gates: readonly string[]): HTMLElement[] {
  if (setup.numLayers === 1) return [];
  const [first] = equationsOf(setup, gates, 1),
    names = gates.map((gate) => `W_i${gate}`).join(", ");
  const x = `In the layers above, x is the hidden state of the layer below, ${first[4].shape} numbers`;
  const text = `${x}: there ${names} are ${first[2].shape}.`;
  return [element("p", { class: "soft", text })];
}

function facts(setup: Setup) {
  return element(
    "ul",
    { class: "st-facts" },
    factsOf(setup, setup).map(({ holds, why }) =>
      element("li", {}, [holds ? element("code", { text: holds }) : null, element("span", { text: why })]),
    ),
  );
}
