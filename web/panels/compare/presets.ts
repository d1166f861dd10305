// Pairs of sentences with a small difference that matters.

import type { App } from "studio/state/types.js";

type Pair = { text: string; other: string; about: string };

export const PAIRS: readonly Pair[] = [
  {
    text: "She said the old man who sold us the house could not remember why he had left the city.",
    other: "She said the old man who sold us the house could not remember that he had left the city.",
    about: "One word differs, \u201cwhy\u201d or \u201cthat\u201d: do the two converge again after it?",
  },
  { text: "She likes to walk .", other: "She likes the walk .", about: "One word decides whether the next is a verb." },
  {
    text: "The keys to the cabinet are old .",
    other: "The key to the cabinet is old .",
    about: "Agreement past an attractor: “cabinet” is singular, the verb agrees with “keys”.",
  },
  {
    text: "The old man the boats .",
    other: "The old man sold the boats .",
    about: "A garden path: in the first, “man” is the verb.",
  },
  {
    text: "The horse raced past the barn fell .",
    other: "The horse ridden past the barn fell .",
    about: "A garden path: “raced” can be the main verb, “ridden” can't.",
  },
  {
    text: "Time flies like an arrow .",
    other: "Fruit flies like a banana .",
    about: "The same two words, two readings.",
  },
  {
    text: "The author who met the critics was late .",
    other: "The author was late .",
    about: "A relative clause in between: do the two converge again after it?",
  },
  { text: "I saw her duck .", other: "I saw her duck quickly .", about: "What comes after decides what came before." },
];

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
