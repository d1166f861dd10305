// The text to explain, which is read a moment after the last keystroke.

import type { App } from "studio/state/types.js";
import { element, set } from "studio/ui/draw.js";

const REST = 150; // milliseconds

export function createTextField({ store, session }: App): HTMLElement {
  let resting: ReturnType<typeof setTimeout> | undefined;
  const read = () => {
    resting = undefined;
    session.text(field.value);
  };
  const field = element("textarea", {
    ...{ class: "explain-text", rows: 1, spellcheck: "false", autocomplete: "off" },
    on: {
      input: () => {
        clearTimeout(resting);
        resting = setTimeout(read, Math.max(REST, 1.5 * session.took));
      },
    },
  });
  const suit = () => {
    const kind = session.model?.kind;
    field.hidden = kind === "trace";
    set(field, "aria-label", kind === "layer" ? "Numbers to explain" : "Text to explain");
    field.placeholder =
      kind === "layer" ? "A signal, such as sine 24, or rows of numbers, one per line" : "Type a sentence.";
  };
  const update = () => {
    if (resting === undefined && field.value !== store.get().text) field.value = store.get().text;
  };
  store.subscribe(["text"], update);
  session.on("model", suit);
  suit();
  update();
  return field;
}
