// The compare page's initial second sentence, which differs from the first in one word.

import { PAIRS } from "studio/panels/compare/presets.js";
import type { App } from "studio/state/types.js";

/** @returns "" if there is only one word */
export const withoutFirstWord = (text: string): string => text.replace(/^\s*\S+\s*/, "");

const secondFor = (text: string): string => PAIRS.find((pair) => pair.text === text)?.other ?? withoutFirstWord(text);

/** Chooses a second sentence when the user first compares two sentences, unless they have chosen one. */
export function openOnTwo({ store, session }: App) {
  let suggested = "";
  let due = false;
  const suggest = () => {
    const { text, otherText } = store.get();
    const readsText = session.model?.kind === "tagger" || session.model?.kind === "language-model";
    if (!due || text === "" || !readsText) return;
    due = false;
    if (otherText !== "" && otherText !== suggested) return;
    suggested = secondFor(text);
    store.set({ otherText: suggested });
  };
  const turn = () => {
    const { page, comparison } = store.get();
    due = page === "compare" && comparison === "sentences";
    suggest();
  };
  store.subscribe(["page", "comparison"], turn);
  store.subscribe(["text"], suggest);
  session.on("model", suggest);
  turn();
}
