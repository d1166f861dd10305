// Things to try: whole gates, context-dependent sentences, and a search for an edit that changes a word's label.

import { type Preset, IDEAS, editsOf, presetsOf } from "studio/panels/edits/presets.js";
import { type Find, search, sweepOf } from "studio/panels/edits/search.js";
import { sentenceOf } from "studio/panels/edits/words.js";
import { choiceText, headOf } from "studio/state/predictions.js";
import { shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { Model, Run } from "studio/types.js";
import { element } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";

/** Experiments on every gate of the selected track. */
export function presetBar({ store, session }: App): HTMLElement {
  const track = element("code", {});
  const name = () => (track.textContent = store.get().track);
  store.subscribe(["track"], name);
  name();
  const made = (preset: Preset) =>
    button(
      preset.label,
      () => {
        const { track: chosen, edits } = store.get();
        const added = editsOf(preset, chosen);
        const others = edits.filter(
          (edit) => !added.some(({ place }) => place === edit.place && !edit.unit && !edit.t),
        );
        store.change({ edits: [...others, ...added] }, `${preset.label} of ${chosen}`);
      },
      { title: preset.says },
    );
  const chips = element("div", { class: "chips" });
  const fill = () => chips.replaceChildren(...(session.model ? presetsOf(session.model.cell).map(made) : []));
  session.on("model", fill);
  fill();
  return element("section", { class: "edit-presets" }, [element("h3", {}, ["On all units of ", track]), chips]);
}

/** Sentences, each with an experiment; only for taggers that have the layers it needs. */
export function ideaCards({ store }: App, model: Model): HTMLElement[] {
  const presets = presetsOf(model.cell);
  const fitting = IDEAS.filter(
    ({ track, preset }) =>
      model.kind === "tagger" &&
      model.tracks.some(({ name }) => name === track) &&
      presets.some(({ id }) => id === preset),
  );
  return fitting.map(({ text, preset, track, asks }) => {
    const chosen = presets.find(({ id }) => id === preset);
    const card = button(
      "",
      () => {
        store.change({ text, track, edits: chosen ? editsOf(chosen, track) : [] }, `the experiment “${text}”`);
      },
      { class: "idea" },
    );
    card.append(element("strong", { text }), element("span", { text: `${chosen?.label ?? ""} in ${track}. ${asks}` }));
    return card;
  });
}

/** The search, which starts from the current run, including its edits, and stops when that run changes. */
export function searchBox(app: App): HTMLElement {
  const { store, session } = app;
  const words = element("select", { "aria-label": "Word whose prediction should change" }) as HTMLSelectElement;
  const finds = element("ol", { class: "edit-finds" });
  const progress = element("p", { class: "edit-progress", role: "status" });
  let stop: (() => void) | null = null;

  const halt = () => {
    stop?.();
    stop = null;
    go.textContent = "Search";
  };
  const go = button("Search", () => (stop ? halt() : begin()));
  const begin = () => {
    const { model, run } = session;
    if (!model || !run) return;
    const found: Find[] = [];
    finds.replaceChildren();
    go.textContent = "Stop";
    stop = search(
      { model, run, head: store.get().head, t: Number(words.value) },
      (tried, of, done) => {
        progress.textContent = progressOf(tried, of, found.length, done);
        if (done) halt();
      },
      (find) => {
        found.push(find);
        found.sort((a, b) => sweepOf(a.edit) - sweepOf(b.edit) || b.after.probability - a.after.probability);
        finds.replaceChildren(...found.map((one) => findLine(one, app, model, run)));
      },
    );
  };
  const refill = () => {
    halt();
    const run = session.run;
    const chosen = words.value;
    const head = run && headOf(run, store.get().head);
    box.hidden = !head || !session.model?.hasWeights;
    words.replaceChildren(
      ...(run?.tokens ?? []).map((token, t) =>
        element("option", {
          value: String(t),
          text: head ? `${shownToken(token)}: ${shownToken(head.labels[head.chosen[t]])}` : shownToken(token),
        }),
      ),
    );
    words.value = run && chosen !== "" && Number(chosen) < run.steps ? chosen : String(store.get().step);
  };
  const box = element("section", { class: "edit-search" }, [
    element("h3", { text: "Find an edit that changes" }),
    element("div", { class: "row" }, [words, go]),
    progress,
    finds,
  ]);
  store.subscribe(["step"], (view) => stop || (words.value = String(view.step)));
  session.on("run", refill);
  refill();
  return box;
}

function progressOf(tried: number, of: number, found: number, done: boolean): string {
  const so = `tried ${tried.toLocaleString("en")} of ${of.toLocaleString("en")} edits, ${found || "none"} found`;
  return done ? `Done: ${so}.` : `Searching: ${so}…`;
}

function findLine({ edit, before, after }: Find, { store }: App, model: Model, run: Run) {
  const sentence = sentenceOf(edit, model, run.tokens);
  const use = button("Try", () => store.change({ edits: [...store.get().edits, edit] }, sentence), {
    "aria-label": `Try: ${sentence}`,
  });
  return element("li", {}, [
    element("span", { text: sentence }),
    element("span", {
      class: "turn",
      text: `${choiceText(before)} → ${choiceText(after)}`,
    }),
    use,
  ]);
}
