// The input and the model's predictions: a text box, the tokens with their predictions, and the whole distribution
// at the selected step.

import { createDistribution } from "studio/panels/sentence/distribution.js";
import { createNumbers } from "studio/panels/sentence/numbers.js";
import { sentencePicture, sentenceRows } from "studio/panels/sentence/picture.js";
import { createSignal } from "studio/panels/sentence/signal.js";
import { createTextBox } from "studio/panels/sentence/text.js";
import { createWords } from "studio/panels/sentence/words.js";
import type { App } from "studio/state/types.js";
import type { Model } from "studio/types.js";
import { chooser } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";

const WORDING: Record<Model["kind"], { title: string; help: string }> = {
  tagger: {
    title: "Sentence",
    help:
      "Type, and the model reads along. Under each word is its predicted tag, and a bar as long as the tag's " +
      "probability; a word with a dotted line is not in the vocabulary, and is read by its letters. On the right: every tag's " +
      "probability for the word at the cursor.",
  },
  "language-model": {
    title: "Text",
    help:
      "Type, and the model reads along. The darker a token, the more it surprised the model, which had only read a " +
      "newline and the text before it (in nats: 0 is certainty). On the right: what it expects after the token at the cursor.",
  },
  layer: {
    title: "Input",
    help:
      "This layer has no vocabulary: it reads numbers, one row at each time step. Choose a signal or give rows of " +
      "your own. On the right: the hidden state at the cursor's step, strongest units first.",
  },
  trace: {
    title: "Recorded run",
    help:
      "A trace is the record of one run. It has no weights, so you can look through it but not run it again. On " +
      "the right: the hidden state at the cursor's step, strongest units first.",
  },
};

export function mountSentence(app: App): HTMLElement {
  const { store, session } = app;
  const { root, body, tools } = panel({
    id: "sentence",
    title: WORDING.tagger.title,
    help: WORDING.tagger.help,
    exports: { svg: () => sentencePicture(app), png: () => sentencePicture(app), csv: () => sentenceRows(app) },
  });
  const words = createWords(app);
  const distribution = createDistribution(app);
  const heads = chooser("Predicts", (head) => store.set({ head }));
  const input = element("div", { class: "sentence-input" });
  tools.append(input, heads.root);
  body.classList.add("sentence-body");
  body.append(
    element("div", { class: "sentence-read" }, [problem(app), createSignal(app).root, words.root]),
    distribution.root,
  );

  session.on("model", () => equip(app, root, input));
  const fill = () => {
    const names = session.run?.heads.map(({ name }) => name) ?? [];
    heads.root.hidden = names.length < 2;
    heads.fill([{ label: "", options: names.map((name) => ({ value: name, text: name })) }], store.get().head);
  };
  session.on("run", fill);
  store.subscribe(["head"], fill);
  return root;
}

/** Sets the panel's texts and input for the kind of model. */
function equip(app: App, root: HTMLElement, input: HTMLElement) {
  const { model } = app.session;
  if (model === null) return;
  const { title, help } = WORDING[model.kind];
  (root.querySelector(".panel-title") as HTMLElement).textContent = title;
  (root.querySelector(".panel-help") as HTMLElement).textContent = help;
  root.dataset.kind = model.kind;
  const live = element("p", { class: "soft", text: "Live: the steps come from a stream in Python." });
  if (app.session.live || model.kind === "trace") input.replaceChildren(...(app.session.live ? [live] : []));
  else input.replaceChildren(model.kind === "layer" ? createNumbers(app, model) : createTextBox(app, model));
}

/** The error about unreadable input, with advice. */
function problem({ session }: App) {
  const line = element("p", { class: "problem", role: "alert", hidden: true });
  session.on("error", () => {
    line.hidden = session.error === null;
    line.textContent = session.error?.message ?? "";
  });
  return line;
}
