// Things to try: whole gates, context-dependent sentences, and a search for an edit that changes a word's label.

import { untracked, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { type Find, editSize, searchEdits } from "studio/panels/edits/search.js";
import { editSentence } from "studio/panels/edits/words.js";
import { Job } from "studio/state/job.js";
import { choiceText, findHead, shownToken } from "studio/state/run.js";
import type { Model, Run, Edit } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Button, Says } from "studio/ui/form.js";

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

/** The search, which starts from the current run, including its edits, and stops when that run changes. */
export function EditSearch() {
  const { store, session, view } = useApp();
  const finds = useSignal<Find[]>([]);
  const tried = useSignal<{ count: number; of: number } | null>(null);
  const chosen = useSignal<number | null>(null); // the step of a word, until the cursor moves
  const job = useMemo(() => {
    const report = (count: number, of: number, found: Find[]) => {
      tried.value = { count, of };
      finds.value = [...found].sort(
        (a, b) => editSize(a.edit) - editSize(b.edit) || b.after.probability - a.after.probability,
      );
    };
    return new Job((question: Parameters<typeof searchEdits>[0]) => searchEdits(question, report));
  }, []);
  const searched = useRef<Run | null>(null);
  useSignalEffect(() => {
    const { run } = session;
    if (run !== searched.current) untracked(() => job.stop()); // it may have begun before this effect, which runs later
  });
  useEffect(() => store.subscribe(["step"], () => void (job.share === 1 && (chosen.value = null))), []);
  const { model, run } = session;
  const head = run && findHead(run, view.head);
  if (!model?.hasWeights || !run || !head) return null;
  const isRunning = job.share < 1;
  const t = chosen.value !== null && chosen.value < run.steps ? chosen.value : view.step;
  const isDone = job.result !== null && !job.stopped && !isRunning;
  const [count, of] = [tried.value?.count ?? 0, tried.value?.of ?? 0].map((number) => number.toLocaleString("en"));
  const so = `tried ${count} of ${of} edits, ${finds.value.length || "none"} found`;
  const begin = () => {
    chosen.value = t;
    finds.value = [];
    searched.current = run;
    job.begin({ model, run, head: view.head, t });
  };
  return (
    <section class="edit-search">
      <h3>Find an edit that changes</h3>
      <div class="row">
        <select
          {...{ "aria-label": "Word whose prediction should change", value: String(t) }}
          onChange={({ currentTarget }) => (chosen.value = Number(currentTarget.value))}
        >
          {run.tokens.map((token, k) => (
            <option value={String(k)}>{`${shownToken(token)}: ${shownToken(head.labels[head.chosen[k]])}`}</option>
          ))}
        </select>
        <Button text={isRunning ? "Stop" : "Search"} press={isRunning ? () => job.stop() : begin} />
      </div>
      <Says kind="edit-progress" text={tried.value && (isDone ? `Done: ${so}.` : `Searching: ${so}…`)} />
      <ol class="edit-finds">
        {finds.value.map((find) => (
          <FindLine {...{ find, model, run }} />
        ))}
      </ol>
    </section>
  );
}

function FindLine({ find: { edit, before, after }, model, run }: { find: Find; model: Model; run: Run }) {
  const { store } = useApp();
  const sentence = editSentence(edit, model, run.tokens);
  return (
    <li>
      <span>{sentence}</span>
      <span class="turn">{`${choiceText(before)} → ${choiceText(after)}`}</span>
      <Button
        text="Try"
        {...{ "aria-label": `Try: ${sentence}` }}
        press={() => store.change({ edits: [...store.get().edits, edit] }, sentence)}
      />
    </li>
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

const PRESETS: Record<string, readonly Preset[]> = { LSTM, GRU, RNN: [SILENCE] };

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
