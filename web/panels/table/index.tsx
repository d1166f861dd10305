// The state table: a row for each step, with the prediction and the values of the pinned units, sorted and filtered.

import { type ReadonlySignal, useComputed } from "@preact/signals";
import { findHead, hasWords, predictionAt, shownToken, shownUnits, trackOf, valueAt } from "studio/state/run.js";
import { seriesLines } from "studio/state/series.js";
import type { Session } from "studio/state/session.js";
import type { Run, View } from "studio/types.js";
import { useApp, useDerived, useTyping } from "studio/ui/app.js";
import { Button } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";

const HELP =
  "Everything at each step as numbers. Click a heading to sort, a row to go to its step. The filter finds text in " +
  "the text columns, and compares a column with a number, as in step>9 or f12>0.9; rows must match all conditions.";
const REST = 120; // milliseconds
const [MOST_STEPS, MOST_SHOWN] = [2000, 300]; // rows; a longer series has them in its file

export function TablePanel() {
  const { store, session, view } = useApp();
  const columns = useComputed(() => tableColumns(session, view));
  const rows = useComputed(() => sortedRows(columns.value, session, view));
  const take = (filter: string) => store.set({ filter });
  const filter = useTyping(view.filter, take, () => REST);

  const csv = (): string[][] => {
    if (columns.value.length === 0) return [];
    return [
      columns.value.map(({ group, title }) => group + title),
      ...rows.value.map(({ values }) => values.map(String)),
    ];
  };
  const example = useComputed(() => filterExample(columns.value, session, view)).value;
  const count = useComputed(() => {
    const [shown, steps] = [rows.value.length, session.run?.steps ?? 0];
    const cut = shown > MOST_STEPS ? `, the first ${MOST_SHOWN} shown` : "";
    return (shown === steps ? `${steps} rows` : `${shown} of ${steps} rows`) + cut;
  });
  return (
    <Panel
      {...{ id: "table", title: "State table", help: HELP, exports: { csv } }}
      tools={
        <>
          <input
            {...{ type: "search", class: "filter", "aria-label": "Filter rows", ...filter }}
            placeholder={example === "" ? "Filter" : `Filter: ${example}`}
          />
          <span class="soft" role="status">
            {count}
          </span>
        </>
      }
      draw={(seen) => (
        <div class="table-scroll" tabindex={0} role="group" aria-label="State table (scrolls)">
          <table class="state-table">
            <thead>
              <tr>
                {columns.value.map((column) => (
                  <Heading column={column} />
                ))}
              </tr>
            </thead>
            <tbody>
              {(rows.value.length > MOST_STEPS ? rows.value.slice(0, MOST_SHOWN) : rows.value).map((row) => (
                <Line key={row.step} {...{ row, seen, columns: columns.value }} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    />
  );
}

function Heading({ column: { key, title, group } }: { column: Column }) {
  const { store, view } = useApp();
  const [up, down] = [view.rows === key, view.rows === `-${key}`];
  return (
    <th scope="col" data-key={key} aria-sort={up ? "ascending" : down ? "descending" : undefined}>
      <button
        type="button"
        class="table-sort"
        title={`Sort by ${group}${title}`}
        onClick={() => store.set({ rows: up ? `-${key}` : key })}
      >
        {group !== "" && <span class="table-group">{group}</span>}
        <span>{title}</span>
        <span class="table-arrow">{up ? "\u25b4" : down ? "\u25be" : ""}</span>
      </button>
    </th>
  );
}

function Line({ row, columns, seen }: { row: Row; columns: Column[]; seen: ReadonlySignal<boolean> }) {
  const { store, player, view } = useApp();
  const current = useDerived(() => (seen.value && view.step === row.step ? "step" : undefined), [row.step]);
  const choose = () => {
    player.pause();
    store.set({ step: row.step });
  };
  return (
    <tr onClick={choose} data-step={row.step} aria-current={current}>
      {columns.map(({ key, digits, type }, k) => {
        const value = row.values[k];
        if (key === "step") {
          return (
            <th scope="row">
              <Button text={value} kind="table-step" aria-label={`Go to step ${value}`} />
            </th>
          );
        }
        if (type === "text") return <td class={`table-${key}`}>{shownToken(String(value))}</td>;
        return <td class="number">{Number.isFinite(value) ? Number(value).toFixed(digits) : "\u2013"}</td>;
      })}
    </tr>
  );
}

export type Row = { step: number; values: (string | number)[] };

export interface Column {
  key: string; // for sorting and filtering: "probability", "f12"
  title: string;
  group: string; // the text before the title: "unit 12 "
  type: "text" | "number";
  digits: number;
  value: (t: number) => string | number;
}

export function tableColumns({ run, model }: Session, view: View): Column[] {
  if (run === null || model === null) return [];
  return [
    column("step", "number", (t) => t, 0),
    ...(hasWords(run) ? [column("token", "text", (t) => run.tokens[t])] : []),
    ...(run.series ? seriesLines(model, run, run) : []).flatMap((lines) =>
      lines.map(({ kind, name, at }) => column(kind === "feature" ? name : `${name} ${kind}`, "number", at)),
    ),
    ...predictions(run, view),
    ...unitColumns(run, model.quantities, view),
  ];
}

function column(key: string, type: Column["type"], value: Column["value"], digits: number = 4): Column {
  return { key, title: key, group: "", type, digits, value };
}

function predictions(run: Run, view: View): Column[] {
  const head = findHead(run, view.head);
  const { surprise } = run;
  return [
    ...(head ? [column("prediction", "text", (t) => predictionAt(head, t).label)] : []),
    ...(head ? [column("probability", "number", (t) => predictionAt(head, t).probability)] : []),
    ...(surprise ? [column("surprise", "number", (t) => surprise[t])] : []),
  ];
}

function unitColumns(run: Run, quantities: readonly string[], view: View): Column[] {
  const track = trackOf(run, view.track);
  return shownUnits(view).flatMap((unit) =>
    quantities.map((name) => ({
      ...column(`${name}${unit}`, "number", (t) => valueAt(track, name, unit, t)),
      title: name,
      group: `${unit} `,
    })),
  );
}

/** An example for the filter; returns "NOUN, probability<0.6". */
export function filterExample(columns: Column[], { run }: Session, view: View): string {
  if (run === null || columns.length === 0) return "";
  if (run.surprise) return "surprise>3";
  const head = findHead(run, view.head);
  if (head === null) return `${columns[columns.length - 1].key}>0.5`;
  return `${head.labels.includes("NOUN") ? "NOUN" : head.labels[0]}, probability<0.6`;
}

export function sortedRows(columns: Column[], { run }: Session, { rows: sort, filter }: View): Row[] {
  const fits = fitting(columns, filter);
  const steps = Array.from({ length: run?.steps ?? 0 }, (_, step) => step);
  const kept = steps.map((step) => ({ step, values: columns.map(({ value }) => value(step)) })).filter(fits);
  const down = sort.startsWith("-");
  const at = columns.findIndex(({ key }) => key === sort.replace("-", ""));
  if (at < 0) return kept;
  const compared = (a: string | number, b: string | number) => {
    if (typeof a === "number" && typeof b === "number") return (Number.isNaN(a) ? -1 : a - b) || 0;
    return String(a).localeCompare(String(b));
  };
  return kept.sort((a, b) => (down ? -1 : 1) * compared(a.values[at], b.values[at]) || a.step - b.step);
}

/** @param filter words, and comparisons such as "probability<0.6" */
function fitting(columns: Column[], filter: string): (row: Row) => boolean {
  const tests = filter
    .trim()
    .split(/\s+/)
    .filter((term) => term !== "")
    .map((term) => termTest(columns, term));
  return (row) => tests.every((test) => test(row));
}

function termTest(columns: Column[], term: string): (row: Row) => boolean {
  const [, key, sign, number] = /^([a-z]+\d*)([<>])(-?\d*\.?\d+)$/.exec(term) ?? [];
  const at = columns.findIndex((one) => one.key === key && one.type === "number");
  if (at >= 0)
    return ({ values }) => (sign === "<" ? Number(values[at]) < Number(number) : Number(values[at]) > Number(number));
  const texts = columns.flatMap(({ type }, k) => (type === "text" ? [k] : []));
  const wanted = term.toLowerCase();
  return ({ values }) => texts.some((k) => String(values[k]).toLowerCase().includes(wanted));
}
