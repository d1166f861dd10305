// Things to try: whole gates, and context-dependent sentences.

import type { CellLabel } from "studio/runtime/kinds.js";
import type { Edit, Model } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Button } from "studio/ui/form.js";

export function Presets({ model }: { model: Model }) {
  const { store, view } = useApp();
  const add = (preset: Preset) => {
    const { track, edits } = store.get();
    const added = presetEdits(preset, track);
    const others = edits.filter((edit) => !added.some(({ place }) => place === edit.place && !edit.unit && !edit.t));
    store.change({ edits: [...others, ...added] }, `${preset.label} of ${track}`);
  };
  return (
    <section class="edit-presets">
      <h3>
        On all units of <code>{view.track}</code>
      </h3>
      <div class="chips">
        {PRESETS[model.cell.label].map((preset) => (
          <Button text={preset.label} title={preset.effect} press={() => add(preset)} />
        ))}
      </div>
    </section>
  );
}

/** Sentences, each with an experiment; only for taggers that have the layers it needs. */
export function IdeaCards({ model }: { model: Model }) {
  const { store } = useApp();
  if (model.kind !== "tagger") return null;
  const presets = PRESETS[model.cell.label];
  return (
    <>
      {IDEAS.map(({ text, preset: id, track, asks }) => {
        const preset = presets.find((one) => one.id === id);
        if (!preset || !model.tracks.some(({ name }) => name === track)) return null;
        const edits = presetEdits(preset, track);
        return (
          <button
            {...{ type: "button", class: "idea" }}
            onClick={() => store.change({ text, track, edits }, `the experiment “${text}”`)}
          >
            <strong>{text}</strong>
            <span>{`${preset.label} in ${track}. ${asks}`}</span>
          </button>
        );
      })}
    </>
  );
}

interface Preset {
  id: string;
  label: string;
  effect: string; // in a sentence
  sets: [string, number][]; // quantities and their new values
}

const LSTM: readonly Preset[] = [
  {
    id: "forget",
    label: "Close the forget gates",
    sets: [["f", 0]],
    effect:
      "f = 0: nothing in the cell is kept from one step to the next. Only h still carries something from the " +
      "previous step.",
  },
  {
    id: "keep",
    label: "Forget nothing",
    sets: [["f", 1]],
    effect: "f = 1: the cell keeps everything, and all that is written accumulates.",
  },
  {
    id: "freeze",
    label: "Freeze the cell",
    sets: Object.entries({ f: 1, i: 0 }),
    effect: "f = 1 and i = 0: the cell keeps its value and takes in nothing new.",
  },
  {
    id: "open",
    label: "Open the output gates",
    sets: [["o", 1]],
    effect: "o = 1: the whole cell is output at every step, as tanh(c).",
  },
  {
    id: "silence",
    label: "Silence the output",
    sets: [["h", 0]],
    effect: "h = 0: the cell keeps running, but neither the next step nor the layer above sees it.",
  },
];

const SILENCE: Preset = {
  id: "silence",
  label: "Silence the state",
  sets: [["h", 0]],
  effect: "h = 0: neither the next step nor the layer above sees anything, and nothing is remembered.",
};

const GRU: readonly Preset[] = [
  {
    id: "forget",
    label: "Keep nothing",
    sets: [["z", 0]],
    effect: "z = 0: h is the candidate n at every step. Only n still reads something from the previous step.",
  },
  {
    id: "freeze",
    label: "Freeze the state",
    sets: [["z", 1]],
    effect: "z = 1: the state keeps its value and takes in nothing new.",
  },
  {
    id: "blind",
    label: "Close the reset gates",
    sets: [["r", 0]],
    effect: "r = 0: the candidate n only reads the input, not the state.",
  },
  {
    id: "read",
    label: "Open the reset gates",
    sets: [["r", 1]],
    effect: "r = 1: the candidate n reads the whole state at every step.",
  },
  SILENCE,
];

const PRESETS: Record<CellLabel, readonly Preset[]> = { LSTM, GRU, RNN: [SILENCE] };

/** The edits of a preset, in all units at all steps of one layer and direction. */
const presetEdits = (preset: Preset, track: string): Edit[] =>
  preset.sets.map(([quantity, value]) => {
    return { place: `${track}.${quantity}`, kind: "set", value, unit: null, t: null, scope: "write" };
  });

/** English sentences whose tags depend on context, each with an experiment to try. */
const IDEAS: readonly { text: string; preset: string; track: string; asks: string }[] = [
  {
    text: "I like to fish and hunt .",
    preset: "forget",
    track: "l0",
    asks: "Are “fish” and “hunt” nouns or verbs for a network whose cells keep nothing?",
  },
  {
    text: "They fish .",
    preset: "silence",
    track: "l0",
    asks: "What is “fish” for a network whose lower layer can't remember “They” before it?",
  },
  {
    text: "Time flies like an arrow .",
    preset: "open",
    track: "l1",
    asks: "Does “flies” stay a verb when the top layer outputs all that it holds?",
  },
  {
    text: "The ship sails fell .",
    preset: "silence",
    track: "l0r",
    asks: "What does the network make of “sails” if its lower layer can't remember the “fell” that follows it?",
  },
];
