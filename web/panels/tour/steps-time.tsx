// Steps 7 to 10: carrying the state, what out[-1] is, layers and directions, and changing a value.

import type { ComponentChild } from "preact";
import { Loop, Question, Quiz, STATEMENTS } from "studio/panels/tour/exercises.js";
import { letterOf, sizeLetters } from "studio/panels/tour/steps-gates.js";
import type { Now, Step } from "studio/panels/tour/types.js";
import { compareRuns } from "studio/state/edits.js";
import type { Model, Track, View } from "studio/types.js";
import { format } from "studio/ui/draw.js";
import { Button } from "studio/ui/form.js";

const CARRY: Step = {
  title: "Carry the state",
  sets: () => ({ page: "read" }),
  says: () => [
    "You can pass in a sequence all at once, or one element at a time. If an LSTM only reads forward, this is the same " +
      "computation, *if the state is carried*: each step must be given the state that the last one returned. " +
      "(With two directions it is not: the reverse one starts at the end, so it needs the whole sequence. Nor is it " +
      "in training with dropout, which is random.)",
    "This loop appears in many notebooks, and it restarts every step from the same `(h0, c0)`. Every output is " +
      "right for a sequence of one element, but knows nothing of the others. " +
      "(The LSTM is a small one, `torch.manual_seed(2); torch.nn.LSTM(4, 3)`, so that you can print the same numbers.)",
  ],
  task: () => "Fix the loop: choose what to pass to each step, and compare the columns.",
  work: ({ memory }, again) => (
    <Loop
      onChoose={(carried) => {
        memory.carried ||= carried;
        again();
      }}
    />
  ),
  done: ({ memory }) => Boolean(memory.carried),
  learnt: () =>
    "Now both columns agree, to the last digit shown. A stream carries the state for you: `s = lstm.stream(); h = " +
    "s.step(x)`.",
};

/** The first numbers of one step of a track's h. */
const some = ({ info, values }: Track, t: number) =>
  Array.from(values.h.subarray(t * info.outputs, t * info.outputs + Math.min(3, info.outputs)), format).join(" ");

/** States these relations for the run on the page. */
function inThisRun({ run }: Now): string {
  const last = run.tracks.at(-1);
  const forward = run.tracks.findLast(({ info }) => !info.reverse);
  const end = run.steps - 1;
  if (!last || !forward) return "";
  if (end === 0)
    return "On this page there is only one step, both the first and the last, so these are all the same here.";
  const first =
    `On this page: \`out[-1]\` of ${forward.info.name} begins \`${some(forward, end)}\`, and that ` +
    `is its row of \`h_n\`.`;
  if (!last.info.reverse) return first;
  return (
    `${first} ${last.info.name} ends at step 0: its row of \`h_n\` begins \`${some(last, 0)}\`, but its ` +
    `part of \`out[-1]\` \`${some(last, end)}\`.`
  );
}

const LAST: Step = {
  title: "Is out[-1] the same as h_n?",
  sets: () => ({ page: "read" }),
  says: (now) => [
    "An LSTM returns `out, (h_n, c_n)`: the last layer's hidden state at *every* step, and the states of every " +
      "layer and direction after the step that it reads *last*.",
    inThisRun(now),
  ],
  task: () => "Which of these are true? There are several steps, and rows have equal lengths unless stated otherwise.",
  work: ({ memory }, again) => (
    <Quiz
      onAnswer={(rights) => {
        memory.right = rights.filter(Boolean).length;
        again();
      }}
    />
  ),
  status: ({ memory }) => `${memory.right ?? 0} of ${STATEMENTS.length} right`,
  done: ({ memory }) => memory.right === STATEMENTS.length,
  learnt: () =>
    "The output is the hidden state of the last layer, step by step. The rest follows from asking which layer and " +
    "direction it is, and where that one ends.",
};

const reverseOf = ({ model }: Now) => model.tracks.find(({ reverse }) => reverse);

function widthMistake(answer: number, { C, H, P, L }: { C: number; H: number; P: number; L: number }): string {
  if (answer === P) return "The two directions are not summed, and neither replaces the other: they are concatenated.";
  if (answer === 2 * H)
    return "That is the size of the cell state. `out` consists of hidden states, which the projection makes shorter.";
  if (L > 1 && answer === 2 * P * L) return "That counts every layer. `out` only comes from the last layer.";
  if (answer === 4 * P) return "That counts h and c. `out` consists only of hidden states.";
  if (answer === C || answer === 2 * C) return "That is the size of the input. `out` consists of hidden states.";
  return `Each direction has a hidden state of ${P} numbers, and the two are concatenated.`;
}

const BOTH_WAYS: Step = {
  title: "Layers and directions",
  panels: (now) => (reverseOf(now) ? ["transport", "heatmap"] : []),
  sets: ({ model, run }) => ({
    page: "read",
    quantity: "h",
    track: model.tracks[0].name,
    step: Math.min(1, run.steps - 1),
  }),
  restores: ["track"],
  says: (now) => {
    const { L, D, P } = sizeLetters(now);
    const layers =
      L > 1
        ? `This network has ${L} layers: l0 reads the input, and each of the others the hidden states of the layer below, so ` +
          `\`weight_ih_l1\` is \`[4H, ${D * P}]\`. `
        : "This network has one layer; if there were more, each would read the hidden states of the one below. ";
    const directions =
      D > 1
        ? "Each layer has two directions, each with its own weights: l0 reads from the first step to the last, " +
          "l0r from the last to the first. Their hidden states are concatenated."
        : "It has one direction. Other networks have two, each with its own weights: the reverse one reads from the last " +
          "step to the first. Their hidden states are concatenated.";
    return [
      layers + directions,
      "So at any step, a reverse unit of l0 has seen that step and what comes *after* it, and a forward " +
        "unit of l0 that step and what came before. A layer above reads both directions of the one below, so there " +
        "each direction has seen both sides.",
    ];
  },
  task: (now) =>
    reverseOf(now)
      ? "Choose a reverse direction (its arrow points left) under *Layer* above the heat map. Go to " +
        "the step that it reads first, then to the one where it has read everything."
      : "If this network had two directions, how many numbers would `out` have at each step?",
  work: (now, again) =>
    reverseOf(now) ? (
      <div />
    ) : (
      <Question
        label="numbers: "
        respond={(answer) => {
          const sizes = sizeLetters(now);
          now.memory.ended = answer === 2 * sizes.P;
          again();
          return now.memory.ended ? "Right." : `Not ${answer}. ${widthMistake(answer, sizes)}`;
        }}
      />
    ),
  watch: ({ model, view, run, memory }) => {
    if (!model.tracks.find(({ name }) => name === view.track)?.reverse) return;
    memory.began ||= view.step === run.steps - 1;
    memory.ended ||= memory.began && view.step === 0;
  },
  status: (now) =>
    reverseOf(now)
      ? `reads first: ${now.memory.began ? "found" : "not yet"} · has read everything: ` +
        `${now.memory.ended ? "found" : "not yet"}`
      : "",
  done: ({ memory }) => Boolean(memory.ended),
  learnt: (now) =>
    reverseOf(now)
      ? "It starts at the last step and ends at the first, where its hidden state is its row of `h_n`."
      : `\`out\` would be \`[T, 2·${letterOf(now)}]\`, forward first.`,
};

export const TIME: readonly Step[] = [CARRY, LAST, BOTH_WAYS];

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
