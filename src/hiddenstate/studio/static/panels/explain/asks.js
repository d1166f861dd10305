// Chooses the number to explain: the head, the label, and its logit or probability.

import { ownLabel, readerOf } from "studio/state/explained.js";
import { headOf, likeliest } from "studio/state/predictions.js";
import { shownToken } from "studio/state/tokens.js";
import { chooser, segments } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";

/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/state/types.js").App} App */
/** @typedef {import("studio/state/explained.js").Explained} Explained */

/** @type {{value: View["measure"], text: string, title: string}[]} */
const MEASURES = [
  { value: "logit", text: "Logit", title: "The score before softmax: linear in the outputs" },
  { value: "probability", text: "Log-probability", title: "The natural logarithm of the probability" },
];
const MOST_LABELS = 60;

/**
 * @param {App} app
 * @returns {{root: HTMLElement, show: (explained: Explained | null) => void}}
 */
export function askControls({ store }) {
  const heads = chooser("Column", (head) => store.set({ head, label: "" }));
  const labels = chooser("Why", (label) => store.set({ label }));
  const measure = segments("Quantity", MEASURES, (chosen) => store.set({ measure: chosen }));
  const root = element("div", { class: "explain-asks" }, [heads.root, labels.root, measure.root]);
  const show = (/** @type {Explained | null} */ explained) => {
    const reader = explained && readerOf(explained.subject, store.get().head);
    root.hidden = !reader;
    if (!explained || !reader) return;
    heads.root.hidden = explained.subject.readers.length < 2;
    heads.fill([{ label: "", options: explained.subject.readers.map(({ name }) => ({ value: name, text: name })) }], reader.name);
    labels.fill([{ label: "", options: labelOptions(explained, store.get()) }], store.get().label === "" ? "" : explained.label);
    measure.show(explained.target === explained.linear ? "logit" : "probability");
    measure.root.hidden = reader.logProbability === null || explained.linear === null;
  };
  return { root, show };
}

/**
 * Lists the model's prediction or the actual next token first, then the likeliest labels.
 * @param {Explained} explained
 * @param {View} view
 * @returns {{value: string, text: string}[]}
 */
function labelOptions({ model, run, subject, label }, view) {
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
