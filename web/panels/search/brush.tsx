// The sentence that was read, in the colours of the selected unit. Dragging over steps makes a query.

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { storedThresholds, unitAddress } from "studio/state/corpus.js";
import { shownToken, trackOf, valueAt } from "studio/state/run.js";
import { useApp } from "studio/ui/app.js";
import { exactly } from "studio/ui/draw.js";
import { Says } from "studio/ui/form.js";
import { Legend } from "studio/ui/legend.js";
import { Panel } from "studio/ui/panel.js";
import { tokenColours } from "studio/ui/passage.js";

const HELP =
  "The sentence of the Read page, each word in the colour of the selected unit's value. Drag over some words, or move " +
  "with the arrow keys and hold Shift, to search the corpus for spans where the unit does the same.";
const MOST_STEPS = 600;

/** The chosen steps, from where the choice began to where it is now. It ends with another sentence or unit. */
interface Choice {
  of: object;
  anchor: number;
  focus: number;
}

export function Brush({ search }: { search: (query: string) => void }) {
  const { session, corpus, view } = useApp();
  const last = useSignal<Choice | null>(null);
  const isDown = useRef(false);
  useEffect(() => corpus.readUnits(), []);
  const shown = useComputed(() => {
    const { run } = session;
    if (run === null || view.model !== corpus.about?.model) return [];
    const track = trackOf(run, view.track);
    return run.tokens
      .slice(0, MOST_STEPS)
      .map((token, t) => ({ token, value: valueAt(track, view.quantity, view.unit, t) }));
  });
  const choice = useComputed(() => (last.value?.of === shown.value ? last.value : null));
  const address = unitAddress(view);
  const reason =
    view.model !== corpus.about?.model
      ? "Choose the indexed model above: this sentence was read by a different one."
      : session.run === null
        ? "Nothing has been read yet."
        : "";

  const { value: chosen } = choice;
  const [low, high] = chosen ? [Math.min(chosen.anchor, chosen.focus), Math.max(chosen.anchor, chosen.focus)] : [0, -1];
  const query = () => {
    const { table } = corpus;
    const k = table?.columns.unit.indexOf(address) ?? -1;
    if (chosen === null || table === null || k < 0) return "";
    const values = shown.value.slice(low, high + 1).map(({ value }) => value);
    return spanQuery(address, values, table.columns.median[k], storedThresholds(table, address));
  };
  const made = query();

  const choose = (t: number, isMore: boolean) => {
    const { anchor } = choice.value ?? { anchor: t };
    last.value = { of: shown.value, anchor: isMore ? anchor : t, focus: t };
  };
  const under = ({ clientX, clientY }: PointerEvent) =>
    Number(document.elementFromPoint(clientX, clientY)?.closest<HTMLElement>("[data-step]")?.dataset.step ?? -1);
  const release = () => (isDown.current = false);
  return (
    <Panel
      id="brush"
      title="From the sentence"
      help={HELP}
      tools={shown.value.length > 0 && <Legend quantity={view.quantity} />}
    >
      <div
        class={session.model?.unit === "character" ? "brush-words dense" : "brush-words"}
        {...{ role: "listbox", "aria-multiselectable": true, tabindex: 0, "aria-label": "Words to search for" }}
        aria-activedescendant={chosen ? `brush-${chosen.focus}` : undefined}
        onPointerDown={(event) => {
          const t = under(event);
          if (t < 0) return;
          isDown.current = true;
          event.currentTarget.setPointerCapture(event.pointerId);
          choose(t, event.shiftKey);
        }}
        onPointerMove={(event) => {
          const t = isDown.current ? under(event) : -1;
          if (t >= 0 && t !== choice.value?.focus) choose(t, true);
        }}
        onPointerUp={release}
        onPointerCancel={release}
        onKeyDown={(event) => {
          const [at, last] = [choice.value?.focus ?? -1, shown.value.length - 1];
          const moves: Record<string, number> = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last };
          const t = moves[event.key];
          if (t === undefined || last < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
          event.preventDefault();
          choose(Math.max(0, Math.min(last, t)), event.shiftKey);
        }}
      >
        {shown.value.map(({ token, value }, t) => (
          <span
            {...{ id: `brush-${t}`, "data-step": t, role: "option", class: "passage-token", title: exactly(value) }}
            aria-selected={t >= low && t <= high}
            style={tokenColours(view.quantity, value)}
          >
            {shownToken(token)}
          </span>
        ))}
      </div>
      <div class="brush-made">
        <Says kind="soft" text={reason || `Coloured by ${address}, the unit selected on the other pages.`} />
        {made !== "" && (
          <button type="button" class="brush-go" onClick={() => search(made)}>
            Search: {made}
          </button>
        )}
      </div>
    </Panel>
  );
}

/**
 * @param address of the unit
 * @param values its values at the steps
 * @param median its median over the corpus
 * @param stored the thresholds whose bits are stored, which are searched at once
 */
export function spanQuery(address: string, values: number[], median: number, stored: number[]): string {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const long = values.length > 1 ? ` for ${values.length}..` : "";
  if (mean >= median) {
    const low = Math.min(...values);
    const kept = stored.filter((threshold) => threshold < low && threshold >= median).at(-1);
    return `${address} > ${kept ?? hundredths(low, Math.floor)}${long}`;
  }
  const high = Math.max(...values);
  const kept = stored.find((threshold) => threshold > high && threshold <= median);
  return `${address} < ${kept ?? hundredths(high, Math.ceil)}${long}`;
}

/** Rounds a value to the next hundredth beyond it, so that the value itself satisfies the comparison. */
function hundredths(value: number, round: (value: number) => number) {
  const beyond = round === Math.floor ? -1e-6 : 1e-6;
  return Number((round((value + beyond) * 100) / 100).toFixed(2));
}
