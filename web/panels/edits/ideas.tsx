// Things to try: whole gates, context-dependent sentences, and a search for an edit that changes a word's label.

import { untracked, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { type Preset, IDEAS, presetEdits, presetsFor } from "studio/panels/edits/presets.js";
import { type Find, editSize, searchEdits } from "studio/panels/edits/search.js";
import { editSentence } from "studio/panels/edits/words.js";
import { Job } from "studio/state/job.js";
import { choiceText, findHead } from "studio/state/predictions.js";
import { shownToken } from "studio/state/tokens.js";
import type { Model, Run } from "studio/types.js";
import { useApp } from "studio/ui/app.js";

/** Experiments on every gate of the selected track. */
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
        {presetsFor(model.cell).map((preset) => (
          <button type="button" title={preset.effect} onClick={() => add(preset)}>
            {preset.label}
          </button>
        ))}
      </div>
    </section>
  );
}

/** Sentences, each with an experiment; only for taggers that have the layers it needs. */
export function IdeaCards({ model }: { model: Model }) {
  const { store } = useApp();
  if (model.kind !== "tagger") return null;
  const presets = presetsFor(model.cell);
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
        <button type="button" onClick={isRunning ? () => job.stop() : begin}>
          {isRunning ? "Stop" : "Search"}
        </button>
      </div>
      <p class="edit-progress" role="status">
        {tried.value &&
          progressText(tried.value, finds.value.length, job.result !== null && !job.stopped && !isRunning)}
      </p>
      <ol class="edit-finds">
        {finds.value.map((find) => (
          <FindLine {...{ find, model, run }} />
        ))}
      </ol>
    </section>
  );
}

function progressText({ count, of }: { count: number; of: number }, found: number, isDone: boolean): string {
  const so = `tried ${count.toLocaleString("en")} of ${of.toLocaleString("en")} edits, ${found || "none"} found`;
  return isDone ? `Done: ${so}.` : `Searching: ${so}…`;
}

function FindLine({ find: { edit, before, after }, model, run }: { find: Find; model: Model; run: Run }) {
  const { store } = useApp();
  const sentence = editSentence(edit, model, run.tokens);
  return (
    <li>
      <span>{sentence}</span>
      <span class="turn">{`${choiceText(before)} → ${choiceText(after)}`}</span>
      <button
        {...{ type: "button", "aria-label": `Try: ${sentence}` }}
        onClick={() => store.change({ edits: [...store.get().edits, edit] }, sentence)}
      >
        Try
      </button>
    </li>
  );
}
