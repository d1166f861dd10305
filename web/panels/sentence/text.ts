// The text box. Text is read a moment after the last keystroke, later for slow models, so that typing never lags.

import type { App } from "studio/state/types.js";
import type { Model } from "studio/types.js";
import { chooser } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";

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

export function createTextBox({ store, session }: App, model: Model): HTMLElement {
  let resting: ReturnType<typeof setTimeout> | undefined;
  const read = () => {
    resting = undefined;
    store.set({ text: box.value });
  };
  // A textarea only for a model of characters, because newlines matter only to it.
  const box = element(model.unit === "character" ? "textarea" : "input", {
    id: "text",
    type: "text",
    rows: 2,
    spellcheck: "false",
    autocomplete: "off",
    placeholder: "Type a sentence.",
    "aria-label": `Text to read, ${model.unit} by ${model.unit}`,
    on: {
      input: () => {
        clearTimeout(resting);
        resting = setTimeout(read, Math.max(SHORTEST_REST, 1.5 * session.took));
      },
    },
  });
  box.value = store.get().text;
  store.subscribe(["text"], ({ text }) => {
    if (resting === undefined && box.value !== text) box.value = text;
  });
  return element("div", { class: "text-box" }, [
    box,
    examples(model, (text) => store.change({ text }, "another text")),
  ]);
}

function examples(model: Model, choose: (text: string) => void) {
  const { root, select, fill } = chooser("Examples", (text) => {
    if (text !== "") choose(text);
    select.value = "";
  });
  root.classList.add("nameless");
  const texts = EXAMPLES[model.unit] ?? EXAMPLES.word;
  fill(
    [{ label: "", options: [{ value: "", text: "Examples" }, ...texts.map((text) => ({ value: text, text }))] }],
    "",
  );
  return root;
}
