// Chooses the number to explain: the head, the label, and its logit or probability.

import { type Explained, ownLabel, readerOf } from "studio/state/explained.js";
import { headOf, likeliest } from "studio/state/predictions.js";
import { shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { View } from "studio/types.js";
import { chooser, segments } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";

const MEASURES: { value: View["measure"]; text: string; title: string }[] = [
  { value: "logit", text: "Logit", title: "The score before softmax: linear in the outputs" },
  { value: "probability", text: "Log-probability", title: "The natural logarithm of the probability" },
];
const MOST_LABELS = 60;

export function askControls({ store }: App): { root: HTMLElement; show: (explained: Explained | null) => void } {
  const heads = chooser("Column", (head) => store.set({ head, label: "" }));
  const labels = chooser("Why", (label) => store.set({ label }));
  const measure = segments("Quantity", MEASURES, (chosen) => store.set({ measure: chosen }));
  const root = element("div", { class: "explain-asks" }, [heads.root, labels.root, measure.root]);
  const show = (explained: Explained | null) => {
    const reader = explained && readerOf(explained.subject, store.get().head);
    root.hidden = !reader;
    if (!explained || !reader) return;
    heads.root.hidden = explained.subject.readers.length < 2;
    heads.fill(
      [{ label: "", options: explained.subject.readers.map(({ name }) => ({ value: name, text: name })) }],
      reader.name,
    );
    labels.fill(
      [{ label: "", options: labelOptions(explained, store.get()) }],
      store.get().label === "" ? "" : explained.label,
    );
    measure.show(explained.target === explained.linear ? "logit" : "probability");
    measure.root.hidden = reader.logProbability === null || explained.linear === null;
  };
  return { root, show };
}

/** Lists the model's prediction or the actual next token first, then the likeliest labels. */
function labelOptions({ model, run, subject, label }: Explained, view: View): { value: string; text: string }[] {
  const reader = readerOf(subject, view.head);
  const head = headOf(run, view.head);
  if (!reader || !head) return [];
  const step = Math.min(view.step, run.steps - 1);
  const own = shownToken(reader.labels[ownLabel(run, reader, step)]);
  const first = model.kind === "language-model" ? `the next token: ${own}` : `its prediction: ${own}`;
  const names = likeliest(head, step, MOST_LABELS).map((choice) => choice.label);
  if (view.label !== "" && !names.includes(label)) names.push(label);
  return [{ value: "", text: first }, ...names.map((name) => ({ value: name, text: shownToken(name) }))];
}
