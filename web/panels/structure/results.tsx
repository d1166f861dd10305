// Everything that follows from the sizes: code, shapes, parameters, equations, and how out relates to h_n.

import type { ComponentChildren } from "preact";
import { equations, facts } from "studio/panels/structure/equations.js";
import type { Setup } from "studio/panels/structure/setup.js";
import { flows, parameterCount, parameters, pythonCall } from "studio/panels/structure/sizes.js";
import { RowTable } from "studio/panels/structure/table.js";
import { tracksOf } from "studio/runtime/lstm.js";

/** @returns the lines of Python that create and call it */
export function codeLines(setup: Setup): string {
  const [input] = flows(setup, setup);
  const name = setup.cell.label.toLowerCase();
  const state = setup.cell.memory === "c" ? "(h_n, c_n)" : "h_n";
  return `${name} = ${pythonCall(setup, setup.batchFirst)}\nout, ${state} = ${name}(torch.randn(${input.shape.join(", ")}))`;
}

export function shapeRows(setup: Setup): string[][] {
  return [
    ["tensor", "axes", "shape", "meaning"],
    ...flows(setup, setup).map(({ name, letters, shape, meaning }) => {
      return [name, letters.join(", "), `(${shape.join(", ")})`, meaning];
    }),
  ];
}

export function parameterRows(setup: Setup): string[][] {
  const rows = tracksOf(setup).flatMap((track) =>
    parameters(setup, track).map(({ name, shape, count }) => [name, shape.join("×"), count.toLocaleString("en")]),
  );
  return [["parameter", "shape", "count"], ...rows, ["in all", "", parameterCount(setup).toLocaleString("en")]];
}

export function Results({ setup, gates }: { setup: Setup; gates: readonly string[] }) {
  return (
    <>
      <Part title="Shapes">
        <RowTable rows={shapeRows(setup)} />
      </Part>
      <Part title="One step, with all shapes">
        <div class="st-equations">
          {equations(setup, gates, 0).map((pieces) => (
            <p class="st-line-of">
              {pieces.map(({ text, shape }) => (
                <span class={shape ? "st-piece" : "st-sign"}>
                  <b>{text}</b>
                  <small>{shape || "\u00a0"}</small>
                </span>
              ))}
            </p>
          ))}
        </div>
        {setup.numLayers > 1 && <p class="soft">{aboveText(setup, gates)}</p>}
      </Part>
      <Part title={`${parameterCount(setup).toLocaleString("en")} parameters`} kind="st-parameters">
        <RowTable rows={parameterRows(setup)} />
      </Part>
    </>
  );
}

export function Claims({ setup }: { setup: Setup }) {
  return (
    <Part title="How out and h_n are related">
      <ul class="st-facts">
        {facts(setup, setup).map(({ holds, why }) => (
          <li>
            {holds && <code>{holds}</code>}
            <span>{why}</span>
          </li>
        ))}
      </ul>
    </Part>
  );
}

function Part({ title, kind = "", children }: { title: string; kind?: string; children: ComponentChildren }) {
  return (
    <section class={`st-part ${kind}`}>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

/** How the layers above differ from the first. */
function aboveText(setup: Setup, gates: readonly string[]): string {
  const [first] = equations(setup, gates, 1),
    names = gates.map((gate) => `W_i${gate}`).join(", ");
  const x = `In the layers above, x is the hidden state of the layer below, ${first[4].shape} numbers`;
  return `${x}: there ${names} are ${first[2].shape}.`;
}
