// Step 10: change a value, and see what happens.

import { sizeLetters } from "studio/panels/tour/steps-gates.js";
import type { Now, Step } from "studio/panels/tour/types.js";
import { compareRuns } from "studio/state/difference.js";

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
