// The small editor that opens at a value. It shows the change, its extent, and an immediate preview of its effect.

import { type Spot, SCOPES, draftAt, rangeOf, spotOf, valueInRun } from "studio/panels/edits/draft.js";
import { placeAt } from "studio/panels/edits/place.js";
import { placeOf, sentenceOf } from "studio/panels/edits/words.js";
import { differenceOf } from "studio/state/difference.js";
import { partsOf } from "studio/state/edits.js";
import { shownToken, stepName } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { Choice, Edit, Model, Run } from "studio/types.js";
import { element, format } from "studio/ui/draw.js";
import { button, choice, field } from "studio/ui/fields.js";

/** The edit in progress: its index in the list (the list's length for a new one), and the original list. */
interface Work {
  spot: Spot;
  index: number;
  base: readonly Edit[];
  draft: Edit;
}

/** Creates the editor, a single element that is opened and closed as needed. */
export function createEditor(app: App) {
  const root = element("div", { class: "edit-box", role: "dialog", "aria-label": "Change a value", tabindex: "-1" });
  root.hidden = true;
  let work: Work | null = null;
  let opener: HTMLElement | null = null;
  let outcome = element("p", { class: "edit-outcome", "aria-live": "polite" });

  const change = (patch: Partial<Edit>) => {
    if (!work) return;
    work = { ...work, draft: Object.freeze({ ...work.draft, ...patch }) };
    app.store.set({ edits: editsWith(work) });
  };
  const close = () => {
    work = null;
    root.hidden = true;
    opener?.focus({ preventScroll: true });
  };
  const cancel = () => {
    if (!work) return;
    app.store.set({ edits: work.base });
    close();
  };
  const apply = () => {
    const { model, run } = app.session;
    if (!work || !model || !run) return;
    app.store.set({ edits: work.base }); // the undo step starts when the editor opens
    app.store.change({ edits: editsWith(work) }, sentenceOf(work.draft, model, run.tokens));
    close();
  };
  const fill = (model: Model, run: Run) => {
    if (!work) return;
    outcome = element("p", { class: "edit-outcome", "aria-live": "polite" });
    root.replaceChildren(
      heading(work, model, run, cancel),
      kinds(work, change, () => fill(model, run)),
      slider(work, change),
      extent(work, model, change),
      outcome,
      element("div", { class: "edit-actions" }, [
        button("Apply", apply, { class: "primary" }),
        button("Cancel", cancel),
      ]),
    );
  };
  const show = (what: Omit<Work, "base">, at: DOMRect) => {
    const { model, run } = app.session;
    if (!model || !run) return;
    if (work) app.store.set({ edits: work.base });
    if (!root.contains(document.activeElement)) opener = document.activeElement as HTMLElement | null;
    work = { ...what, base: app.store.get().edits };
    fill(model, run);
    root.hidden = false;
    placeAt(root, at);
    change({});
    root.querySelector("input")?.focus({ preventScroll: true });
  };

  app.session.on("run", () => work && (outcome.textContent = outcomeOf(app, work)));
  app.store.subscribe(["edits", "page", "model", "text"], (view) => {
    if (work && (view.page === "structure" || !same(view.edits, editsWith(work)))) close();
  });
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // here the arrow keys move the slider
    if (event.key === "Escape") cancel();
    if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) apply();
  });
  return {
    root,
    open: (spot: Spot, at: DOMRect) => show({ spot, draft: draftAt(spot), index: app.store.get().edits.length }, at),
    change: (index: number, at: DOMRect) => {
      const draft = app.store.get().edits[index];
      if (draft && app.session.plain) show({ spot: spotOf(draft, app.session.plain), draft, index }, at);
    },
  };
}

/** The list of edits with the draft in its place. */
function editsWith({ base, draft, index }: Work): Edit[] {
  return [...base.slice(0, index), draft, ...base.slice(index + 1)];
}

function same(a: readonly Edit[], b: readonly Edit[]) {
  return JSON.stringify(a) === JSON.stringify(b);
}

function heading({ spot }: Work, model: Model, run: Run, cancel: () => void) {
  return element("header", {}, [
    element("h3", {}, [element("code", { text: spot.place }), ` ${placeOf(spot.place, model)}`]),
    element("p", {
      class: "edit-where",
      text: `unit ${spot.unit}, ${stepName(run, spot.t)}: now ${format(spot.value)}`,
    }),
    button("×", cancel, { class: "edit-close", "aria-label": "Close without changing anything" }),
  ]);
}

function kinds({ draft, spot }: Work, change: (patch: Partial<Edit>) => void, again: () => void) {
  const options = { set: "set to", scale: "multiply by", add: "add" };
  return choice("Effect", options, draft.kind, (kind) => {
    change({ kind, value: rangeOf(spot.place, kind, spot.value).begin });
    again();
  });
}

function slider({ draft, spot }: Work, change: (patch: Partial<Edit>) => void) {
  const { low, high } = rangeOf(spot.place, draft.kind, spot.value);
  return field({ label: "value", low, high, value: draft.value }, (value) => change({ value }));
}

function extent({ draft, spot }: Work, model: Model, change: (patch: Partial<Edit>) => void) {
  const units = draft.unit ?? [spot.unit];
  const steps = draft.t ?? [spot.t];
  const explained = element("p", { class: "edit-scope", text: SCOPES[draft.scope] });
  const several = {
    unit: units.length > 1 ? "these units" : `unit ${units[0]}`,
    t: steps.length > 1 ? "these steps" : `step ${steps[0]}`,
  };
  return element("div", { class: "edit-extent" }, [
    choice("Units", { one: several.unit, all: "all units" }, draft.unit ? "one" : "all", (which) =>
      change({ unit: which === "one" ? units : null }),
    ),
    choice("Steps", { one: several.t, all: `all ${model.unit}s` }, draft.t ? "one" : "all", (which) =>
      change({ t: which === "one" ? steps : null }),
    ),
    choice("Scope", { write: "write", readout: "readout" }, draft.scope, (scope) => {
      explained.textContent = SCOPES[scope];
      change({ scope });
    }),
    explained,
  ]);
}

/** Describes the effect of the edit in one line. */
function outcomeOf({ session, store }: App, { spot, base, index }: Work): string {
  const { run, plain } = session;
  if (!run || !plain || run.steps !== plain.steps) return "";
  const { track, quantity } = partsOf(spot.place);
  const now = valueInRun(run, track, quantity, spot.unit, spot.t);
  const others = index < base.length ? base.length > 1 : base.length > 0;
  const words = differenceOf(plain, run, store.get().head).words.filter((word) => word.changed);
  const listed = words
    .slice(0, 3)
    .map(({ token, before, after }) => `“${shownToken(token)}” ${labelOf(before)} → ${labelOf(after)}`);
  const said = listed.length
    ? `${listed.join(", ")}${words.length > 3 ? ` and ${words.length - 3} more` : ""}`
    : silent(plain);
  return `${quantity} is ${format(now)} here. ${others ? "With the other edits: " : ""}${said}.`;
}

function silent(plain: Run): string {
  return plain.heads.length ? "no prediction changes" : "the output changes as shown in the Edits panel";
}

function labelOf(choice: Choice | null) {
  return shownToken(choice?.label ?? "");
}
