// The controls of the comparison: its kind, texts, models and suggested pairs, and the track, quantity and alignment to
// show.

import { inputWidth, isNumeric, numberCount, readsText } from "studio/state/input.js";
import type { App } from "studio/state/types.js";
import { trackTitle } from "studio/state/run.js";
import type { View } from "studio/types.js";
import { choice, useApp, useTyping } from "studio/ui/app.js";
import { Choice, Select } from "studio/ui/form.js";

const KINDS = { sentences: "Two sentences", models: "Two models", edits: "Before and after the edits" };
const WAYS = { position: "position", words: "equal words" };

/** Pairs of sentences with a small difference that matters. */
const PAIRS: readonly { text: string; other: string; about: string }[] = [
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
const withoutFirstWord = (text: string): string => text.replace(/^\s*\S+\s*/, "");

const secondFor = (text: string): string => PAIRS.find((pair) => pair.text === text)?.other ?? withoutFirstWord(text);

export function WhatControls() {
  const { store, host, session, view } = useApp();
  const { models } = host.boot();
  const { models: _, ...others } = KINDS;
  const named = session.model && isNumeric(session.model) ? { sentences: "Two inputs" } : {};
  const options = { ...(models.length > 1 ? KINDS : others), ...named } as Record<View["comparison"], string>;
  const choose = (comparison: View["comparison"]) => {
    const { otherText, otherModel } = store.get();
    const texts = { otherText: comparison === "sentences" ? otherText : "" };
    store.set({ comparison, ...texts, otherModel: comparison === "models" ? otherModel : "" });
  };
  return (
    <div class="compare-what">
      <div class="compare-row">
        <div class="compare-kind">
          <Choice {...{ label: "Compare", options, value: view.comparison, choose }} />
        </div>
        {view.comparison === "sentences" && readsText(session.model) && <Pairs />}
      </div>
      <Side name="A" models={models} />
      {view.comparison !== "edits" && <Side name="B" models={models} />}
    </div>
  );
}

/** The model, if the page has several, and the text of one side. */
function Side({ name, models }: { name: "A" | "B"; models: { id: string; name: string }[] }) {
  const { store, view } = useApp();
  const key = name === "A" ? "model" : "otherModel";
  return (
    <div class="compare-side">
      <span class={`side ${name.toLowerCase()}`}>{name}</span>
      {models.length > 1 && view.comparison === "models" && (
        <Select
          {...{ kind: "nameless", label: `Model ${name}`, value: view[key] || view.model }}
          options={models.map((model) => ({ value: model.id, text: model.name }))}
          choose={(id) => store.set({ [key]: id })}
        />
      )}
      {(name === "A" || view.comparison === "sentences") && <SideText name={name} />}
    </div>
  );
}

function SideText({ name }: { name: "A" | "B" }) {
  const { store, session, view } = useApp();
  const typing = useTyping(name === "A" ? view.text : view.otherText || view.text, (text) =>
    store.set({ [name === "A" ? "text" : "otherText"]: text }),
  );
  const { model } = session;
  const isNumbers = model !== null && isNumeric(model);
  const start = model?.given && name === "A" ? "The data that was loaded. Or a" : "A";
  const numbers = `${start} signal, such as sine 24, or rows of ${numberCount(model ? inputWidth(model) : 0)}, one per line`;
  // A textarea, because newlines matter to models of characters and of numbers.
  return (
    <textarea
      {...{ rows: 1, spellcheck: false, autocomplete: "off" }}
      aria-label={`${isNumbers ? "Input" : "Sentence"} ${name}`}
      placeholder={isNumbers ? numbers : ""}
      {...typing}
    />
  );
}

function Pairs() {
  const { store, view } = useApp();
  const current = PAIRS.findIndex(({ text, other }) => text === view.text && other === view.otherText);
  const lacksFirst = view.otherText !== "" && view.otherText === withoutFirstWord(view.text);
  const options = PAIRS.map(({ text, other }, k) => ({ value: String(k), text: `${text}  |  ${other}` }));
  const choose = (value: string) => {
    const pair = PAIRS[Number(value)];
    if (value !== "") store.change({ text: pair.text, otherText: pair.other }, "compare a pair of sentences");
  };
  return (
    <div class="compare-pairs">
      <Select
        {...{ label: "pairs", options: [{ value: "", text: "pairs to try" }, ...options], choose }}
        value={current < 0 ? "" : String(current)}
      />
      <p class="compare-about">
        {PAIRS[current]?.about ?? (lacksFirst ? "B is A without its first word. Edit either one." : "")}
      </p>
    </div>
  );
}

export function HowControls() {
  const { store, session, view } = useApp();
  const { model } = session;
  if (model === null) return <div class="compare-picks" />;
  const twoWays = model.tracks.some(({ reverse }) => reverse);
  const tracks = model.tracks.map((info) => ({ value: info.name, text: `${info.name}: ${trackTitle(info, twoWays)}` }));
  const quantities = model.quantities.map((value) => ({ value, text: `${value}: ${model.meanings[value]}` }));
  const aligns = view.comparison !== "edits" && !isNumeric(model); // otherwise steps are matched by number
  return (
    <div class="compare-picks">
      <Select {...{ label: "layer", options: tracks, ...choice(store, "track") }} />
      <Select {...{ label: "values", options: quantities, ...choice(store, "quantity") }} />
      {aligns && <Choice {...{ label: "Aligned by", options: WAYS, ...choice(store, "align") }} />}
    </div>
  );
}

/** Chooses a second sentence when the user first compares two sentences, unless they have chosen one. */
export function openOnTwo({ store, session }: App) {
  let suggested = "";
  let due = false;
  const suggest = () => {
    const { text, otherText } = store.get();
    if (!due || text === "" || !readsText(session.model)) return;
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
