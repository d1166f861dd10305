// What a model is given to read before anyone has typed.

import { EXAMPLES } from "studio/panels/sentence/text.js";

/** @typedef {import("studio/state/types.js").App} App */

const READS_TEXT = new Set(["tagger", "language-model"]);

/**
 * Gives a model an example to read where nothing was typed. A text is no input for a model of numbers, nor numbers for
 * a model of text: after a change of model, each gets back what it read last.
 * @param {App} app
 */
export function suitText({ store, session }) {
  /** @type {Map<boolean, string>} what was read last, by whether as text */
  const last = new Map();
  /** @type {boolean | null} */
  let asText = null;
  session.on("model", () => {
    const { model } = session;
    if (!model || model.kind === "trace") return;
    const was = asText;
    asText = READS_TEXT.has(model.kind);
    const { text } = store.get();
    const stale = was !== null && was !== asText && text === last.get(was);
    const example = asText ? (EXAMPLES[model.unit] ?? EXAMPLES.word)[0] : "";
    if (stale || (was !== asText && text === "")) session.text(last.get(asText) ?? example);
  });
  session.on("run", () => {
    if (asText !== null && session.model?.kind !== "trace") last.set(asText, store.get().text);
  });
}
