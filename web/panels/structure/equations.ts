// The equations of a step with the shapes of all terms, and the relation between out and h_n.

import { type Sizes, directions, outputSize } from "studio/panels/structure/sizes.js";
import { squashName } from "studio/state/moment.js";

/** a part of an equation, and its shape; "" for operators */
type Piece = { text: string; shape: string };

const sign = (text: string) => ({ text, shape: "" });

/** @returns one for each equation */
export function equations(sizes: Sizes, gates: readonly string[], layer: number): Piece[][] {
  const H = String(sizes.hiddenSize),
    P = String(outputSize(sizes));
  const C = String(layer === 0 ? sizes.inputSize : directions(sizes) * outputSize(sizes));
  const vector = (text: string, shape: string) => ({ text, shape });
  const { cell } = sizes;
  const isReset = (letter: string) => cell.parts.n_rh === letter;
  const gate = (letter: string) => [
    vector(letter, H),
    sign(`= ${squashName(cell, letter)}(`),
    vector(`W_i${letter}`, `${H}×${C}`),
    sign("·"),
    vector("x", C),
    ...(sizes.bias ? [sign("+"), vector(`b_i${letter}`, H)] : []),
    ...(isReset(letter) ? [sign("+"), vector("r", H), sign("∘ (")] : [sign("+")]),
    vector(`W_h${letter}`, `${H}×${P}`),
    sign("·"),
    vector("h_prev", P),
    ...(sizes.bias ? [sign("+"), vector(`b_h${letter}`, H)] : []),
    sign(isReset(letter) ? "))" : ")"),
  ];
  return [...gates.map(gate), ...stateEquations(sizes)];
}

/** The equations of the states; none if the only gate is the state itself. */
function stateEquations(sizes: Sizes): Piece[][] {
  const H = String(sizes.hiddenSize),
    P = String(outputSize(sizes));
  const vector = (text: string, shape: string) => ({ text, shape });
  if (!sizes.cell.isAdditive) return [];
  if (sizes.cell.memory === "h") {
    const [h, z, past, n] = ["h", "z", "h_prev", "n"].map((name) => vector(name, H));
    return [[h, sign("="), z, sign("∘"), past, sign("+ (1 -"), z, sign(") ∘"), n]];
  }
  const memory = [
    vector("c", H),
    sign("="),
    vector("f", H),
    sign("∘"),
    vector("c_prev", H),
    sign("+"),
    vector("i", H),
    sign("∘"),
    vector("g", H),
  ];
  const shown = [vector("o", H), sign("∘ tanh("), vector("c", H), sign(")")];
  const hidden = sizes.projSize ? [vector("W_hr", `${P}×${H}`), sign("·("), ...shown, sign(")")] : shown;
  return [memory, [vector("h", P), sign("="), ...hidden]];
}

/** `holds` is Python; "" if there is only an explanation */
type Fact = { holds: string; why: string };

/** The relations between the output and the final states. */
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
  relations.push({
    holds: "",
    why: "If sequences have different lengths (lengths=), each one's last output is at its own last step, followed by zeros.",
  });
  return relations;
}

function oneWay({ numLayers }: Sizes, { batchFirst }: { T: number; batchFirst: boolean }): Fact[] {
  const last = batchFirst ? "out[:, -1]" : "out[-1]";
  const row = numLayers === 1 ? "h_n[0]" : "h_n[-1]";
  return [
    {
      holds: `${last} == ${row}`,
      why: "The output is the hidden state of the last layer, so its last step is the final one.",
    },
  ];
}

function bothWays({ T, batchFirst }: { T: number; batchFirst: boolean }, P: number): Fact[] {
  const at = (t: number) => (batchFirst ? `:, ${t}` : `${t}, :`);
  const facts = [
    { holds: `out[${at(-1)}, :${P}] == h_n[-2]`, why: "The forward direction ends at the last step." },
    { holds: `out[${at(0)}, ${P}:] == h_n[-1]`, why: "The reverse direction ends at the first." },
  ];
  if (T === 1) return facts;
  const not = {
    holds: `out[${at(-1)}, ${P}:] != h_n[-1]`,
    why: "At the last step the reverse direction has only just begun.",
  };
  return [...facts, not];
}
