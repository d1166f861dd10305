// The model's first input, before the user types.

import { EXAMPLES } from "studio/panels/sentence/index.js";
import { readsText } from "studio/state/input.js";
import type { App } from "studio/state/types.js";

/**
 * Gives a model an example if the user has typed nothing. Models of numbers can't read text and models of text can't
 * read numbers, so after switching models each kind gets its last input back.
 */
export function suitText({ store, session }: App) {
  /** the last input, by whether it was text */
  const last: Map<boolean, string> = new Map();
  let asText: boolean | null = null;
  session.on("model", () => {
    const { model } = session;
    if (!model || model.kind === "trace") return;
    const was = asText;
    asText = readsText(model);
    const { text } = store.get();
    const stale = was !== null && was !== asText && text === last.get(was);
    const example = asText ? (EXAMPLES[model.unit] ?? EXAMPLES.word)[0] : "";
    if (stale || (was !== asText && text === "")) store.set({ text: last.get(asText) ?? example });
  });
  session.on("run", () => {
    if (asText !== null && session.model?.kind !== "trace") last.set(asText, store.get().text);
  });
}
