// Chooses the number to explain: the head, the label, and its logit or probability.

import { type Explained, ownLabel, findReader } from "studio/state/explained.js";
import { findHead, likeliest } from "studio/state/predictions.js";
import { shownToken } from "studio/state/tokens.js";
import type { View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Segments, Select } from "studio/ui/form.js";

const MEASURES = [
  { value: "logit", text: "Logit", title: "The score before softmax: linear in the outputs" },
  { value: "probability", text: "Log-probability", title: "The natural logarithm of the probability" },
] as const;
const MOST_LABELS = 60;

export function Questions({ explained }: { explained: Explained }) {
  const { store, view } = useApp();
  const { readers } = explained.subject;
  const reader = findReader(explained.subject, view.head);
  if (reader === null) return null;
  return (
    <div class="explain-asks">
      {readers.length > 1 && (
        <Select
          label="Column"
          options={readers.map(({ name }) => ({ value: name, text: name }))}
          value={reader.name}
          choose={(head) => store.set({ head, label: "" })}
        />
      )}
      <Select
        label="Why"
        options={labelOptions(explained, view)}
        value={view.label === "" ? "" : explained.label}
        choose={(label) => store.set({ label })}
      />
      {reader.logProbability !== null && explained.linear !== null && (
        <Segments
          label="Quantity"
          options={MEASURES}
          value={explained.target === explained.linear ? "logit" : "probability"}
          choose={(measure) => store.set({ measure })}
        />
      )}
    </div>
  );
}

/** Lists the model's prediction or the actual next token first, then the likeliest labels. */
function labelOptions({ model, run, subject, label }: Explained, view: View): { value: string; text: string }[] {
  const reader = findReader(subject, view.head);
  const head = findHead(run, view.head);
  if (!reader || !head) return [];
  const step = Math.min(view.step, run.steps - 1);
  const own = shownToken(reader.labels[ownLabel(run, reader, step)]);
  const first = model.kind === "language-model" ? `the next token: ${own}` : `its prediction: ${own}`;
  const names = likeliest(head, step, MOST_LABELS).map((choice) => choice.label);
  if (view.label !== "" && !names.includes(label)) names.push(label);
  return [{ value: "", text: first }, ...names.map((name) => ({ value: name, text: shownToken(name) }))];
}
