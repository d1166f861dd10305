// The end of the tour: what there was to see, and where to go on.

import type { ComponentChild } from "preact";
import type { Model, View } from "studio/types.js";

const GATES = [
  "i = σ(W_ii·x + b_ii + W_hi·h_prev + b_hi)",
  "f = σ(W_if·x + b_if + W_hf·h_prev + b_hf)",
  "g = tanh(W_ig·x + b_ig + W_hg·h_prev + b_hg)",
  "o = σ(W_io·x + b_io + W_ho·h_prev + b_ho)",
];
const STATES = ["c = f·c_prev + i·g", "h = o·tanh(c)"];
const PROJECTED = ["c = f·c_prev + i·g", "m = o·tanh(c)", "h = W_hr·m"];

/** What the card says at the end. */
export function lastWords(model: Model | null): ComponentChild[] {
  const projected = model?.tracks.some(({ units, outputs }) => units !== outputs);
  const equations = [...GATES, ...(projected ? PROJECTED : STATES)];
  return [
    `${projected ? "Seven" : "Six"} equations, the same at every step; each layer and direction has ` +
      "its own weights, and a network without biases leaves out the b. You have seen what each one does, " +
      "in real numbers:",
    <pre class="tour-equations">
      <code>{equations.join("\n")}</code>
    </pre>,
    "What next? Type your own sentences, change whatever you like, and compare two runs side by side.",
  ];
}

/** The ways on from the end. */
export function Ends({ open }: { open: (page: View["page"]) => void }) {
  return (
    <div class="tour-ends">
      <button type="button" class="primary" onClick={() => open("read")}>
        Keep exploring
      </button>
      <button type="button" onClick={() => open("compare")}>
        Compare two runs
      </button>
      <button type="button" onClick={() => open("structure")}>
        Look at the weights
      </button>
    </div>
  );
}
