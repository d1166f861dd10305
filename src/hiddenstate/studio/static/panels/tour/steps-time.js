// Steps 7 to 9: carrying the state, what out[-1] is, and layers and directions.

import { loop } from "studio/panels/tour/loop.js";
import { STATEMENTS, quiz } from "studio/panels/tour/quiz.js";
import { letterOf, sizeLetters } from "studio/panels/tour/steps-gates.js";
import { question } from "studio/panels/tour/text.js";
import { format } from "studio/ui/draw.js";

/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/panels/tour/types.js").Now} Now */
/** @typedef {import("studio/panels/tour/types.js").Step} Step */

/** @type {Step} */
const CARRY = {
  title: "Carry the state",
  panels: () => [],
  sets: () => ({ page: "read" }),
  restores: [],
  says: () => [
    "A sequence can go in all at once, or one element at a time. In an LSTM that reads one way it is the same " +
      "computation, *if the state is carried*: each step must be given the state that came back from the last. " +
      "(With two directions it is not: the reverse one begins at the end, so all must be there first. Nor is it " +
      "in training with dropout, which draws anew.)",
    "This loop is found in many a notebook, and it restarts every step from the same `(h0, c0)`. Every line is " +
      "right for a sequence of one element; none knows of the others. " +
      "(The LSTM is a small one, `torch.manual_seed(2); torch.nn.LSTM(4, 3)`, so that you can print the same numbers.)",
  ],
  task: () => "Mend the loop: choose what each step should be given, and compare the columns.",
  work: ({ memory }, again) =>
    loop((carried) => {
      memory.carried ||= carried;
      again();
    }),
  done: ({ memory }) => Boolean(memory.carried),
  learnt: () =>
    "Now both columns agree, to the last digit shown. A stream carries the state for you: `s = lstm.stream(); h = " +
    "s.step(x)`.",
};

/**
 * The first numbers of one step of a track's h.
 * @param {Track} track
 * @param {number} t
 */
const some = ({ info, values }, t) =>
  Array.from(values.h.subarray(t * info.outputs, t * info.outputs + Math.min(3, info.outputs)), format).join(" ");

/**
 * What holds in the run that is on the page.
 * @param {Now} now
 * @returns {string}
 */
function inThisRun({ run }) {
  const last = run.tracks.at(-1);
  const forward = run.tracks.findLast(({ info }) => !info.reverse);
  const end = run.steps - 1;
  if (!last || !forward) return "";
  if (end === 0) return "On your page there is one step only, the first and the last: all of these are the same there.";
  const first =
    `On your page: \`out[-1]\` of ${forward.info.name} begins \`${some(forward, end)}\`, and that ` +
    `is its row of \`h_n\`.`;
  if (!last.info.reverse) return first;
  return (
    `${first} ${last.info.name} ends at step 0: its row of \`h_n\` begins \`${some(last, 0)}\`, but its ` +
    `part of \`out[-1]\` \`${some(last, end)}\`.`
  );
}

/** @type {Step} */
const LAST = {
  title: "Is out[-1] the same as h_n?",
  panels: () => [],
  sets: () => ({ page: "read" }),
  restores: [],
  says: (now) => [
    "An LSTM returns `out, (h_n, c_n)`: the last layer's hidden state after *every* step, and the states of every " +
      "layer and direction after the step that it reads *last*.",
    inThisRun(now),
  ],
  task: () => "Which of these hold? There are several steps, and the rows are equally long where nothing else is said.",
  work: ({ memory }, again) =>
    quiz((rights) => {
      memory.right = rights.filter(Boolean).length;
      again();
    }),
  status: ({ memory }) => `${memory.right ?? 0} of ${STATEMENTS.length} right`,
  done: ({ memory }) => memory.right === STATEMENTS.length,
  learnt: () =>
    "The output is the hidden state of the last layer, step by step. All else follows from asking which layer and " +
    "direction, and where it ends.",
};

/** @param {Now} now */
const reverseOf = ({ model }) => model.tracks.find(({ reverse }) => reverse);

/**
 * What someone counted who did not count both directions of the last layer.
 * @param {number} answer
 * @param {{C: number, H: number, P: number, L: number}} sizes
 * @returns {string}
 */
function widthMistake(answer, { C, H, P, L }) {
  if (answer === P) return "The two directions are not added up or put in one another's place: they stand side by side.";
  if (answer === 2 * H) return "That is the cells' width. `out` is made of hidden states, which the projection has made shorter.";
  if (L > 1 && answer === 2 * P * L) return "That counts every layer. `out` is the last layer's alone.";
  if (answer === 4 * P) return "That counts h and c. `out` is made of hidden states alone.";
  if (answer === C || answer === 2 * C) return "That is the input's width. `out` is made of hidden states.";
  return `Each direction gives its hidden state, ${P} numbers, and they stand side by side.`;
}

/** @type {Step} */
const BOTH_WAYS = {
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
        ? `This network has ${L} layers: l0 reads the input, each other the hidden states of the one below, so ` +
          `\`weight_ih_l1\` is \`[4H, ${D * P}]\`. `
        : "This network has one layer; with more, each reads the hidden states of the one below. ";
    const directions =
      D > 1
        ? "Each layer has two directions, with weights of their own: l0 reads from the first step to the last, " +
          "l0r from the last to the first. Their h stand side by side."
        : "It has one direction. Others have two, with weights of their own: the reverse reads from the last " +
          "step to the first. Their h stand side by side.";
    return [
      layers + directions,
      "So what a reverse unit of l0 holds at a step, it knows of that step and of what comes *after* it, and a forward " +
        "unit of l0 of that step and of what came before. A layer above reads both directions of the one below: there " +
        "either knows of both sides.",
    ];
  },
  task: (now) =>
    reverseOf(now)
      ? "Choose a reverse direction, one whose arrow points to the left, at *Layer* above the heat map. Go to " +
        "the step that it reads first, then to the one at which it has read everything."
      : "If this network had two directions, how many numbers would `out` have at each step?",
  work: (now, again) =>
    reverseOf(now)
      ? document.createElement("div")
      : question("numbers: ", (answer) => {
          const { P } = sizeLetters(now);
          now.memory.ended = answer === 2 * P;
          again();
          return now.memory.ended ? "Right." : `Not ${answer}. ${widthMistake(answer, sizeLetters(now))}`;
        }),
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
      ? "It begins at the last step and ends at the first: there its hidden state is its row of `h_n`."
      : `\`out\` would be \`[T, 2·${letterOf(now)}]\`, forward first.`,
};

/** @type {readonly Step[]} */
export const TIME = [CARRY, LAST, BOTH_WAYS];
