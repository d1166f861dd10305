// Everything that follows from the sizes: code, shapes, parameters, equations, and how out relates to h_n.

import type { ComponentChildren } from "preact";
import type { Setup, Weight, Sizes } from "studio/panels/structure/sizes.js";
import {
  flows,
  parameterCount,
  parameters,
  pythonCall,
  gateWeights,
  modelSizes,
  directions,
  outputSize,
} from "studio/panels/structure/sizes.js";
import { tracksOf } from "studio/runtime/lstm.js";
import { squashName } from "studio/state/moment.js";
import type { Model, TrackInfo } from "studio/types.js";
import { Table } from "studio/ui/form.js";

/** @returns the lines of Python that create and call it */
export function codeLines(setup: Setup): string {
  const [input] = flows(setup, setup);
  const name = setup.cell.label.toLowerCase();
  const state = setup.cell.memory === "c" ? "(h_n, c_n)" : "h_n";
  return `${name} = ${pythonCall(setup, setup.batchFirst)}\nout, ${state} = ${name}(torch.randn(${input.shape.join(", ")}))`;
}

export const shapeRows = (setup: Setup): string[][] => [
  ["tensor", "axes", "shape", "meaning"],
  ...flows(setup, setup).map(({ name, letters, shape, meaning }) => {
    return [name, letters.join(", "), `(${shape.join(", ")})`, meaning];
  }),
];

export function parameterRows(setup: Setup): string[][] {
  const rows = tracksOf(setup).flatMap((track) =>
    parameters(setup, track).map(({ name, shape, count }) => [name, shape.join("×"), count.toLocaleString("en")]),
  );
  return [["parameter", "shape", "count"], ...rows, ["in all", "", parameterCount(setup).toLocaleString("en")]];
}

export const Results = ({ setup, gates }: { setup: Setup; gates: readonly string[] }) => (
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

export const Claims = ({ setup }: { setup: Setup }) => (
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

const Part = ({ title, kind = "", children }: { title: string; kind?: string; children: ComponentChildren }) => (
  <section class={`st-part ${kind}`}>
    <h3>{title}</h3>
    {children}
  </section>
);

function aboveText(setup: Setup, gates: readonly string[]): string {
  const [first] = equations(setup, gates, 1),
    names = gates.map((gate) => `W_i${gate}`).join(", ");
  const x = `In the layers above, x is the hidden state of the layer below, ${first[4].shape} numbers`;
  return `${x}: there ${names} are ${first[2].shape}.`;
}

/** a part of an equation, and its shape; "" for operators */
type Piece = { text: string; shape: string };

/** @returns one for each equation */
export function equations(sizes: Sizes, gates: readonly string[], layer: number): Piece[][] {
  const { cell, hiddenSize: H, bias } = sizes;
  const P = outputSize(sizes);
  const shapes: Record<string, string | number> = {
    ...{ x: layer === 0 ? sizes.inputSize : directions(sizes) * P, h: P, h_prev: P, W_hr: `${P}×${H}` },
  };
  const shapeOf = (text: string) => {
    if (text.startsWith("W_i")) return `${H}×${shapes.x}`;
    return String(shapes[text] ?? (text.startsWith("W_h") ? `${H}×${P}` : /^[a-z](_\w+)?$/.test(text) ? H : ""));
  };
  const gate = (letter: string) => {
    const by = cell.scales[letter];
    const [reset, end] = by === undefined ? ["", ")"] : [`${by}|∘ (|`, "))"];
    const [input, hidden] = bias ? [`+|b_i${letter}|`, `+|b_h${letter}|`] : ["", ""];
    return `${letter}|= ${squashName(cell, letter)}(|W_i${letter}|·|x|${input}+|${reset}W_h${letter}|·|h_prev|${hidden}${end}`;
  };
  const output = sizes.projSize ? "h|=|W_hr|·(|o|∘ tanh(|c|)|)" : "h|=|o|∘ tanh(|c|)";
  const lstm = ["c|=|f|∘|c_prev|+|i|∘|g", output];
  const states = cell.memory === "h" ? ["h|=|z|∘|h_prev|+ (1 -|z|) ∘|n"] : lstm;
  const all = [...gates.map(gate), ...(cell.isAdditive ? states : [])]; // the only gate of a plain RNN is its state
  return all.map((line) => line.split("|").map((text) => ({ text, shape: shapeOf(text) })));
}

/** `holds` is Python; "" if there is only an explanation */
type Fact = { holds: string; why: string };

export function facts(sizes: Sizes, call: { T: number; batchFirst: boolean }): Fact[] {
  const P = outputSize(sizes),
    states = sizes.numLayers * directions(sizes);
  const relations = sizes.bidirectional ? bothWays(call, P) : oneWay(sizes, call);
  if (sizes.numLayers > 1) {
    const others = `The other ${states - directions(sizes)} of the ${states} rows of h_n`;
    const below = `${others} are the final states of the layers below, which out does not contain.`;
    relations.push({ holds: "", why: below });
  }
  if (sizes.projSize)
    relations.push({ holds: "", why: `h is projected to ${P} numbers; c keeps its ${sizes.hiddenSize}.` });
  const why =
    "If sequences have different lengths (lengths=), each one's last output is at its own last step, followed by zeros.";
  return [...relations, { holds: "", why }];
}

function oneWay({ numLayers }: Sizes, { batchFirst }: { T: number; batchFirst: boolean }): Fact[] {
  const last = batchFirst ? "out[:, -1]" : "out[-1]";
  const row = numLayers === 1 ? "h_n[0]" : "h_n[-1]";
  const why = "The output is the hidden state of the last layer, so its last step is the final one.";
  return [{ holds: `${last} == ${row}`, why }];
}

function bothWays({ T, batchFirst }: { T: number; batchFirst: boolean }, P: number): Fact[] {
  const at = (t: number) => (batchFirst ? `:, ${t}` : `${t}, :`);
  const facts = [
    { holds: `out[${at(-1)}, :${P}] == h_n[-2]`, why: "The forward direction ends at the last step." },
    { holds: `out[${at(0)}, ${P}:] == h_n[-1]`, why: "The reverse direction ends at the first." },
  ];
  const why = "At the last step the reverse direction has only just begun.";
  return T === 1 ? facts : [...facts, { holds: `out[${at(-1)}, ${P}:] != h_n[-1]`, why }];
}

const HEAD = ["part", "equation", "name", "shape", "count", "parameter", "rows"];
const KINDS: Record<string, string> = {
  ...{ shape: "st-number", count: "st-number", rows: "st-number", equation: "st-equation" },
};

/** The rows in the order of the equations, with each gate's terms below one another. */
export function weightRows(model: Model, track: TrackInfo): string[][] {
  if (!model.hasWeights) return [];
  const weights = gateWeights(modelSizes(model), track, model.gates);
  const of = (name: string | null) => weights.filter(({ gate }) => gate === name);
  const gates = model.gates.flatMap((gate) => gateRows(of(gate), gate, model));
  const rest = of(null).map((weight) => ["projection", "h = W_hr·(o∘tanh(c))", ...cells(weight)]);
  return [HEAD, ...gates, ...rest];
}

/** @param weights W_i, W_h and, with biases, b_i, b_h */
function gateRows([input, hidden, ...biases]: Weight[], gate: string, { cell, meanings }: Model): string[][] {
  const ordered = biases.length ? [input, biases[0], hidden, biases[1]] : [input, hidden];
  const opening = `${gate} = ${squashName(cell, gate)}(`;
  const by = cell.scales[gate]; // the reset gate of a GRU
  return ordered.map((weight, k) => {
    const factor = weight === input ? "·x" : weight === hidden ? "·h_prev" : "";
    const left = k ? "+ ".padStart(opening.length) : opening,
      right = k < ordered.length - 1 ? "" : by ? "))" : ")";
    const before = by && weight === hidden ? `${by}∘(` : "";
    return [k ? "" : meanings[gate], left + before + weight.name + factor + right, ...cells(weight)];
  });
}

function cells({ name, shape, count, parameter, rows }: Weight) {
  return [name, shape.join("×"), count.toLocaleString("en"), parameter, rows.join(":")];
}

/** A table whose first row is its head; numbers are right-aligned. */
export const RowTable = ({ rows }: { rows: string[][] }) => (
  <div class="st-scroll">
    <Table class="st-rows" rows={rows} kind={(column) => KINDS[rows[0][column]]} />
  </div>
);
