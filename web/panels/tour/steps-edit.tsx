// Step 10: change a value, and see what happens.

import type { ComponentChild } from "preact";
import { sizeLetters } from "studio/panels/tour/steps-gates.js";
import type { Now, Step } from "studio/panels/tour/types.js";
import { compareRuns } from "studio/state/difference.js";
import type { Model, View } from "studio/types.js";
import { Button } from "studio/ui/form.js";

const SENTENCE = "I like to fish and hunt ."; // for taggers: two of its words can be nouns or verbs, depending on context

function consequence({ app, view }: Now) {
  const { plain, run } = app.session;
  if (!plain || !run?.edits.length || plain.steps !== run.steps) return "no edits yet";
  const { changed, first } = compareRuns(plain, run, view.head);
  if (first < 0) return "edited, but nothing changes";
  const many = changed === 1 ? "one prediction changes" : `${changed} predictions change`;
  return plain.heads.length
    ? `edited: ${many}; the first change is at step ${first}`
    : `edited: the output differs starting at step ${first}`;
}

export const EDIT: Step = {
  title: "Change it and see",
  panels: () => ["edits"],
  sets: ({ model }) => ({
    page: "read",
    edits: [],
    quantity: "f",
    track: model.tracks[0].name,
    ...(model.kind === "tagger" ? { text: SENTENCE } : {}),
  }),
  restores: ["text", "edits", "quantity", "track"],
  says: (now) => [
    "You have seen what the gates do. Do they matter? The way to find out is to change one and run the network " +
      "again: that is an *edit*. Whatever comes before it stays the same, and whatever depends on it is recomputed: " +
      (sizeLetters(now).D === 1
        ? "the rest of its step and the steps after it, in its layer and in those above."
        : "in its own direction the rest of its step and the steps read after it and, since the layer above reads both " +
          "ways, all steps of the layers above. So with two directions an edit also affects steps *before* it."),
  ],
  task: ({ memory, model }) =>
    memory.edited
      ? "Now undo it, with Undo in the Edits panel."
      : !model.hasWeights
        ? "This is a recorded trace: it has no weights and can't be run again, so nothing in it can be changed. " +
          "Skip this step, or open a model."
        : "Edit something: press an experiment such as “Close the forget gates”, or choose a value in the heat map and " +
          "press Edit there.",
  watch: ({ app, memory, view }) => {
    memory.edited ||=
      view.edits.length > 0 &&
      Boolean(app.session.run?.edits.length) &&
      !document.querySelector(".edit-box:not([hidden])");
    memory.undone ||= memory.edited && view.edits.length === 0;
  },
  status: (now) => consequence(now),
  done: ({ memory }) => Boolean(memory.undone),
  learnt: () =>
    "The run is what it was before, to the last digit. In Python, the edit ends with its block: after `with " +
    "lstm.edit(...)` nothing of it remains.",
};

const GATES = [
  "i = σ(W_ii·x + b_ii + W_hi·h_prev + b_hi)",
  "f = σ(W_if·x + b_if + W_hf·h_prev + b_hf)",
  "g = tanh(W_ig·x + b_ig + W_hg·h_prev + b_hg)",
  "o = σ(W_io·x + b_io + W_ho·h_prev + b_ho)",
];
const STATES = ["c = f·c_prev + i·g", "h = o·tanh(c)"];
const PROJECTED = ["c = f·c_prev + i·g", "m = o·tanh(c)", "h = W_hr·m"];

export function lastWords(model: Model | null): ComponentChild[] {
  const projected = model?.tracks.some(({ units, outputs }) => units !== outputs);
  const equations = [...GATES, ...(projected ? PROJECTED : STATES)];
  return [
    `${projected ? "Seven" : "Six"} equations, the same at every step; each layer and direction has its own weights, ` +
      "and a network without biases leaves out the b. You have seen what each one does, in real numbers:",
    <pre class="tour-equations">
      <code>{equations.join("\n")}</code>
    </pre>,
    "What next? Type your own sentences, change whatever you like, and compare two runs side by side.",
  ];
}

export const Ends = ({ open }: { open: (page: View["page"]) => void }) => (
  <div class="tour-ends">
    <Button text="Keep exploring" kind="primary" press={() => open("read")} />
    <Button text="Compare two runs" press={() => open("compare")} />
    <Button text="Look at the weights" press={() => open("structure")} />
  </div>
);
