// The small editor that opens at a value. It shows the change, its extent, and an immediate preview of its effect.

import { batch, type ReadonlySignal, type Signal, useSignalEffect } from "@preact/signals";
import { createPortal } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { editSentence, placeText } from "studio/panels/edits/words.js";
import { type Difference, placeParts } from "studio/state/edits.js";
import { isSequential } from "studio/state/ranges.js";
import type { Session } from "studio/state/session.js";
import { shownToken, stepName, valueAt } from "studio/state/run.js";
import type { Choice as Prediction, Edit, Run } from "studio/types.js";
import { useApp, useTyping } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { Button, Choice, Says } from "studio/ui/form.js";
import { windowSize } from "studio/ui/visibility.js";

/** The edit in progress: its index in the list (the list's length for a new one), and the original list. */
export interface Work {
  spot: Spot;
  index: number;
  base: readonly Edit[];
  draft: Edit;
  at: DOMRect; // beside which the editor is
  opener: Element | null; // which gets the focus back
}

export function useEditor(work: Signal<Work | null>) {
  const { store, session } = useApp();
  const close = () => {
    const opener = work.peek()?.opener;
    work.value = null;
    if (opener instanceof HTMLElement || opener instanceof SVGElement) opener.focus({ preventScroll: true });
  };
  const show = (next: Work) =>
    batch(() => {
      work.value = next;
      store.set({ edits: editsWith(next) });
    });
  const open = (what: Pick<Work, "spot" | "draft" | "index">, at: DOMRect) => {
    const before = work.peek();
    if (!session.model || !session.run) return;
    const inside = document.activeElement?.closest(".edit-box");
    show({
      ...what,
      ...{ at, base: before?.base ?? store.get().edits },
      opener: before && inside ? before.opener : document.activeElement,
    });
  };
  return {
    open,
    close,
    change: (index: number, at: DOMRect) => {
      const draft = store.get().edits[index];
      if (draft && session.plain) open({ spot: editSpot(draft, session.plain), draft, index }, at);
    },
    adjust: (patch: Partial<Edit>) => {
      const now = work.peek();
      if (now) show({ ...now, draft: Object.freeze({ ...now.draft, ...patch }) });
    },
    cancel: () => {
      const now = work.peek();
      if (now) store.set({ edits: now.base });
      close();
    },
    apply: () => {
      const [now, { model, run }] = [work.peek(), session];
      if (!now || !model || !run) return;
      store.set({ edits: now.base }); // the undo step starts when the editor opens
      store.change({ edits: editsWith(now) }, editSentence(now.draft, model, run.tokens));
      close();
    },
  };
}

type EditorProps = { work: Signal<Work | null>; difference: ReadonlySignal<Difference | null> };

export function Editor({ work, editor, difference }: EditorProps & { editor: ReturnType<typeof useEditor> }) {
  const { view, session } = useApp();
  const root = useRef<HTMLDivElement>(null);
  const { value: now } = work;
  useSignalEffect(() => {
    const { value: current } = work;
    if (!current) return;
    const isSame = JSON.stringify(view.edits) === JSON.stringify(editsWith(current));
    if (view.page === "structure" || !isSame) editor.close();
  });
  useLayoutEffect(() => {
    if (!now || !root.current) return;
    placeBeside(root.current, now.at);
    root.current.querySelector("input")?.focus({ preventScroll: true });
  }, [now?.spot, now?.at]);
  const { model, run } = session;
  if (!now || !model || !run) return null;
  const { spot, draft } = now;
  const { adjust } = editor;
  const { low, high } = sliderRange(spot.place, draft.kind, spot.value);
  const [units, steps] = [draft.unit ?? [spot.unit], draft.t ?? [spot.t]];
  const several = {
    unit: units.length > 1 ? "these units" : `unit ${units[0]}`,
    t: steps.length > 1 ? "these steps" : `step ${steps[0]}`,
  };
  const box = (
    <div
      {...{ ref: root, class: "edit-box", role: "dialog", "aria-label": "Change a value", tabindex: -1 }}
      onKeyDown={(event) => {
        event.stopPropagation(); // here the arrow keys move the slider
        if (event.key === "Escape") editor.cancel();
        if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) editor.apply();
      }}
    >
      <header>
        <h3>
          <code>{spot.place}</code> {placeText(spot.place, model)}
        </h3>
        <p class="edit-where">{`unit ${spot.unit}, ${stepName(run, spot.t)}: now ${format(spot.value)}`}</p>
        <Button
          text="×"
          {...{ kind: "edit-close", "aria-label": "Close without changing anything" }}
          press={editor.cancel}
        />
      </header>
      <Choice
        {...{ label: "Effect", options: { set: "set to", scale: "multiply by", add: "add" }, value: draft.kind }}
        choose={(kind) => adjust({ kind, value: sliderRange(spot.place, kind, spot.value).begin })}
      />
      <Value {...{ low, high, value: draft.value }} key={draft.kind} change={(value) => adjust({ value })} />
      <div class="edit-extent">
        <Choice
          {...{ label: "Units", options: { one: several.unit, all: "all units" }, value: draft.unit ? "one" : "all" }}
          choose={(which) => adjust({ unit: which === "one" ? units : null })}
        />
        <Choice
          {...{ label: "Steps", options: { one: several.t, all: `all ${model.unit}s` } }}
          value={draft.t ? "one" : "all"}
          choose={(which) => adjust({ t: which === "one" ? steps : null })}
        />
        <Choice
          {...{ label: "Scope", options: { write: "write", readout: "readout" }, value: draft.scope }}
          choose={(scope) => adjust({ scope })}
        />
        <p class="edit-scope">{SCOPES[draft.scope]}</p>
      </div>
      <Says kind="edit-outcome" how="polite" text={outcomeText(session, difference.value, now)} />
      <div class="edit-actions">
        <Button text="Apply" kind="primary" press={editor.apply} />
        <Button text="Cancel" press={editor.cancel} />
      </div>
    </div>
  );
  return createPortal(box, document.body);
}

/** A number with a slider. Typed values may be outside the slider's range. */
function Value(props: { low: number; high: number; value: number; change: (value: number) => void }) {
  const { low, high, value, change } = props;
  const typing = useTyping(value, (text) => text !== "" && change(Number(text)));
  return (
    <div class="edit-value">
      <input {...{ type: "number", step: "any", "aria-label": "value", ...typing }} />
      <input
        {...{ type: "range", min: low, max: high, step: 0.01, "aria-label": "value, slider", value }}
        onInput={({ currentTarget }) => change(currentTarget.valueAsNumber)}
      />
    </div>
  );
}

const editsWith = ({ base, draft, index }: Work): Edit[] => [...base.slice(0, index), draft, ...base.slice(index + 1)];

function outcomeText({ run, plain }: Session, difference: Difference | null, { spot, base, index }: Work): string {
  if (!run || !plain || !difference || run.steps !== plain.steps) return "";
  const { track, quantity } = placeParts(spot.place);
  const value = valueInRun(run, track, quantity, spot.unit, spot.t);
  const others = index < base.length ? base.length > 1 : base.length > 0;
  const labelText = (prediction: Prediction | null) => shownToken(prediction?.label ?? "");
  const words = difference.words.filter((word) => word.changed);
  const listed = words
    .slice(0, 3)
    .map(({ token, before, after }) => `“${shownToken(token)}” ${labelText(before)} → ${labelText(after)}`);
  const rest = words.length > 3 ? ` and ${words.length - 3} more` : "";
  const silent = plain.heads.length ? "no prediction changes" : "the output changes as shown in the Edits panel";
  const effect = listed.length ? listed.join(", ") + rest : silent;
  return `${quantity} is ${format(value)} here. ${others ? "With the other edits: " : ""}${effect}.`;
}

export interface Spot {
  place: string;
  unit: number;
  t: number;
  value: number;
}

type Range = { low: number; high: number; begin: number };

/** The slider's range for a kind of edit of a quantity; `value`: the current value. */
function sliderRange(place: string, kind: Edit["kind"], value: number): Range {
  const { quantity } = placeParts(place);
  if (kind === "scale") return { low: -2, high: 3, begin: 0 };
  const bound = quantity === "c" ? 2 : 1;
  const high = quantity.endsWith("_pre") ? 10 : Math.max(bound, Math.ceil(Math.abs(value) || 0));
  const isGate = isSequential(quantity) && kind === "set";
  return { low: isGate ? 0 : -high, high, begin: isGate && value < 0.5 ? 1 : 0 }; // the most useful edit opens, closes or zeroes
}

export function draftAt(spot: Spot): Edit {
  const value = sliderRange(spot.place, "set", spot.value).begin;
  return { place: spot.place, kind: "set", value, unit: [spot.unit], t: [spot.t], scope: "write" };
}

/** The spot of an existing edit: its first unit and step. */
function editSpot(edit: Edit, run: Run): Spot {
  const { track, quantity } = placeParts(edit.place);
  const [unit, t] = [edit.unit?.[0] ?? 0, edit.t?.[0] ?? 0];
  return { place: edit.place, unit, t, value: valueInRun(run, track, quantity, unit, t) };
}

/** A run's value at a place; NaN if it has none. */
function valueInRun(run: Run, name: string, quantity: string, unit: number, t: number): number {
  const track = run.tracks.find(({ info }) => info.name === name);
  return track ? valueAt(track, quantity, unit, t) : NaN;
}

const SCOPES = {
  write: "The changed value is carried on to later steps.",
  readout: "Only this step's output uses the changed value; the state carried to the next step does not.",
};

const GAP = 10;

/** Puts a box beside a rectangle; in a narrow window, the style sheet makes it a sheet at the bottom instead. */
function placeBeside(box: HTMLElement, at: DOMRect) {
  const { offsetWidth: width, offsetHeight: height } = box;
  const [roomX, roomY] = windowSize();
  const right = at.right + GAP + width <= roomX - GAP;
  const left = at.left - GAP - width >= GAP;
  const x = right ? at.right + GAP : left ? at.left - GAP - width : inside(at.left, width, roomX);
  const beside = right || left;
  const below = at.bottom + GAP + height <= roomY;
  const y = beside ? at.top - height / 3 : below ? at.bottom + GAP : at.top - GAP - height;
  box.style.left = `${inside(x, width, roomX)}px`;
  box.style.top = `${inside(y, height, roomY)}px`;
}

const inside = (start: number, size: number, room: number): number =>
  Math.round(Math.max(GAP, Math.min(start, room - size - GAP)));
