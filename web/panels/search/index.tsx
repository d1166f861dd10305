// The search of an indexed corpus: a query, its matches and rates, and queries from the sentence.

import { useSignal, useSignalEffect } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import { Brush } from "studio/panels/search/brush.js";
import { type Found, firstUnit, unitAddress, widened } from "studio/state/corpus.js";
import { useApp } from "studio/ui/app.js";
import { percent } from "studio/ui/draw.js";
import { Button, Says, Table } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { PassageLine } from "studio/ui/passage.js";
import { VirtualList } from "studio/ui/virtual-list.js";

const HELP =
  "Finds the longest spans of the corpus over which all conditions hold, each within one sequence. The search is " +
  "exact. If the bits of a threshold are not stored, the corpus is run once more to compute them. Lift is how much more often " +
  "a part holds when the parts before it hold.";

/** each form of a query, and its meaning */
const GRAMMAR: [string, string][] = [
  ["l1.c[125] > .5", "unit 125 of l1.c is above 0.5; also >= < <="],
  ["l1.c[125] > .5 for 3..", "in spans of at least 3 steps; for 3: exactly 3; for 2..5"],
  ["l1.c[125] > .5, l0.h[7] < .1", "both at the same steps"],
  ["l1.c[125] > .5, l0.h[7] < .1 before", "the second at the step right before the span"],
  ["l0.h[3] > 0, label = VERB after 1..5", "a label at some step, 1 to 5 after the span"],
  ['not (token = "the" or token = "a")', "tokens and labels; and, or, not, brackets"],
];
const ROW = 32;

export function SearchPanel() {
  const { store, session, corpus, view } = useApp();
  const text = useSignal(view.query);
  const message = useSignal("");
  const matches = useSignal<Found | null>(null);
  const request = useSignal<AbortController | null>(null); // the search that is running
  const last = useRef(""); // the query that was run last

  const run = async (query: string) => {
    const control = new AbortController();
    const isCurrent = () => request.peek() === control;
    request.peek()?.abort();
    request.value = control;
    message.value = "Searching\u2026";
    const progress = (done: number, total: number) => {
      if (!isCurrent()) return;
      message.value = `Running the corpus again for a threshold that is not stored: ${done} of ${total} shards\u2026`;
    };
    try {
      const answer = await corpus.search(query, progress, control.signal);
      if (!isCurrent()) return;
      matches.value = answer;
      message.value = foundSentence(answer, session.model?.unit ?? "step");
    } catch (error) {
      if (!isCurrent()) return;
      matches.value = null;
      message.value = control.signal.aborted ? "Stopped." : error instanceof Error ? error.message : String(error);
    }
    request.value = null;
  };
  useSignalEffect(() => {
    const { page, query } = view;
    if (page !== "search" || query === last.current) return;
    last.current = text.value = query;
    if (query !== "") void run(query);
  });
  const search = (query: string) => {
    last.current = text.value = query; // so that the effect, which runs later, leaves what is typed by then alone
    store.set({ query });
    void run(query);
  };
  return (
    <>
      <Panel id="search" title="Search the corpus" help={HELP}>
        <form
          class="search-form"
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            const query = text.value.trim();
            if (query !== "") search(query);
          }}
        >
          <input
            {...{ type: "search", class: "search-box", spellcheck: false, autocomplete: "off", maxlength: 2000 }}
            {...{ "aria-label": "Query", placeholder: GRAMMAR[1][0], value: text.value }}
            onInput={({ currentTarget }) => (text.value = currentTarget.value)}
          />
          <button type="submit" class="primary">
            Search
          </button>
          {request.value && <Button text="Stop" press={() => request.value?.abort()} />}
        </form>
        <details class="search-grammar">
          <summary>How to write a query</summary>
          <Table
            class=""
            rows={[
              ["Query", "Meaning"],
              ...GRAMMAR.map(([form, meaning]) => [
                <Button text={form} kind="quiet number" title="Search for it" press={() => search(form)} />,
                meaning,
              ]),
            ]}
          />
        </details>
        <Says kind="search-says" text={message.value} />
        <div class="search-rates">{matches.value && <Rates of={matches.value} />}</div>
        {matches.value && matches.value.spans.length > 0 && (
          <Spans of={matches.value} fail={(problem) => (message.value = problem)} />
        )}
      </Panel>
      <Brush search={search} />
    </>
  );
}

/** The spans that match, one line each, in the colours of a unit. Passages are fetched when they come into view. */
function Spans({ of: matches, fail }: { of: Found; fail: (message: string) => void }) {
  const { corpus, session, view } = useApp();
  const current = useSignal(-1);
  const unit = firstUnit(matches.query) || unitAddress(view);
  const list = useMemo(() => ({}), [matches, unit]);
  if (unit === "") return null;
  const wide = (k: number) => widened(matches.spans[k], session.model?.unit);
  return (
    <VirtualList
      {...{ id: "search-list", label: "Spans that match", of: list, count: matches.spans.length, height: ROW }}
      {...{ kind: "search-row", current: current.value }}
      choose={(k) => (current.value = k)}
      rest={(rows) => corpus.fetchPassages(unit, rows.map(wide)).catch((error) => fail(error.message))}
      row={(k) => {
        const [, , start, stop] = matches.spans[k];
        return (
          <>
            <span class="number soft" title={`${stop - start} steps`}>
              {stop - start}
            </span>
            <PassageLine {...{ unit, span: wide(k), start, stop }} />
          </>
        );
      }}
    />
  );
}

const MOST_LABELS = 6;
const RATES = { class: "rates", isNamed: true, kind: (_: number, isHead: boolean) => (isHead ? "" : "number") };

function Rates({ of: { clauses, labels, steps, count } }: { of: Found }) {
  const best = Object.entries(labels)
    .sort(([, a], [, b]) => b.share - a.share)
    .slice(0, count > 0 ? MOST_LABELS : 0);
  return (
    <>
      <Table
        {...RATES}
        caption="How often each part holds"
        rows={[
          ["Part", "Steps", "Of all", "Left", "Lift"],
          ...clauses.map(({ text, steps: held, left, lift }) => [
            ...[text, held.toLocaleString("en"), percent(held / Math.max(steps, 1))],
            ...[left.toLocaleString("en"), liftText(lift)],
          ]),
        ]}
      />
      {best.length > 0 && (
        <Table
          {...RATES}
          caption="Labels of the matched steps"
          rows={[
            ["Label", "Of matched", "Of all", "Lift"],
            ...best.map(([name, { share, base }]) => [
              ...[name, percent(share), percent(base), liftText(base > 0 ? share / base : null)],
            ]),
          ]}
        />
      )}
    </>
  );
}

/** @param step the kind of step: "word" */
function foundSentence({ count, matched_steps: matched, steps, spans, reason, cost }: Found, step: string): string {
  if (count === 0) return reason;
  const [many, all] = [count.toLocaleString("en"), steps.toLocaleString("en")];
  const first = spans.length < count ? `; the first ${spans.length.toLocaleString("en")} are listed` : "";
  const again = cost > 0 ? ` ${cost.toLocaleString("en")} ${step}s were run again, and the bits are kept.` : "";
  return `${many} ${count === 1 ? "span" : "spans"}, the longest first${first}: ${matched.toLocaleString("en")} of ${all} ${step}s (${percent(matched / Math.max(steps, 1))}).${again}`;
}

const liftText = (value: number | null): string => (value === null ? "" : `\u00d7 ${value.toFixed(2)}`);
