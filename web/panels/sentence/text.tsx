// The text box. Text is read a moment after the last keystroke, later for slow models, so that typing never lags.

import type { Model } from "studio/types.js";
import { useApp, useTyping } from "studio/ui/app.js";
import { Select } from "studio/ui/form.js";

const SHORTEST_REST = 90;
export const EXAMPLES: Record<string, string[]> = {
  word: [
    "She said the old man who sold us the house could not remember why he had left the city.",
    "The old man the boats.",
    "Time flies like an arrow; fruit flies like a banana.",
    "Giraffes in a field",
    "The blorfs were glimping happily near the quibbled zandle.",
  ],
  character: [
    "To be, or not to be: that is the question.",
    "First Citizen:\nBefore we proceed any further, hear me speak.",
  ],
};

export function TextInput({ model }: { model: Model }) {
  const { store, session, view } = useApp();
  const typing = useTyping(
    view.text,
    (text) => store.set({ text }),
    () => Math.max(SHORTEST_REST, 1.5 * session.took),
  );
  const box = {
    ...{ id: "text", spellcheck: false, autocomplete: "off", placeholder: "Type a sentence.", ...typing },
    "aria-label": `Text to read, ${model.unit} by ${model.unit}`,
  };
  const texts = EXAMPLES[model.unit] ?? EXAMPLES.word;
  return (
    <div class="text-box">
      {/* A textarea only for a model of characters, because newlines matter only to it. */}
      {model.unit === "character" ? <textarea rows={2} {...box} /> : <input type="text" {...box} />}
      <Select
        {...{ kind: "nameless", label: "Examples", value: "" }}
        options={[{ value: "", text: "Examples" }, ...texts.map((text) => ({ value: text, text }))]}
        choose={(text) => text !== "" && store.change({ text }, "another text")}
      />
    </div>
  );
}
