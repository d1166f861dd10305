// The state table: a row for each step, with the prediction and the values of the pinned units, sorted and filtered.

import { type ReadonlySignal, useComputed } from "@preact/signals";
import { findHead, hasWords, predictionAt, shownToken, shownUnits, trackOf, valueAt } from "studio/state/run.js";
import { seriesLines } from "studio/state/series.js";
import type { Session } from "studio/state/session.js";
import type { Run, View } from "studio/types.js";
import { useApp, useDerived, useTyping } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { Button } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { fontFamily, measure } from "studio/ui/theme.js";

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

  const texts = (write: (value: number) => string): string[][] => {
    if (columns.value.length === 0) return [];
    return [
      columns.value.map(({ group, title }) => `${group}${title}`),
      ...rows.value.map(({ values }) => values.map((value) => (typeof value === "number" ? write(value) : value))),
    ];
  };
  const picture = () => {
    const written = texts((value) => (Number.isInteger(value) ? String(value) : format(value)));
    return written.length > 0 ? <TablePicture rows={written} /> : null;
  };
  const example = useComputed(() => filterExample(columns.value, session, view)).value;
  const count = useComputed(() => {
    const [shown, steps] = [rows.value.length, session.run?.steps ?? 0];
    const cut = shown > MOST_STEPS ? `, the first ${MOST_SHOWN} shown` : "";
    return (shown === steps ? `${steps} rows` : `${shown} of ${steps} rows`) + cut;
  });
  return (
    <Panel
      {...{ id: "table", title: "State table", help: HELP }}
      picture={picture}
      exports={{ csv: () => texts(String) }}
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

const ROW = 20;
const GAP = 18;
const SIZE = 12;
const MOST_ROWS = 500;

/** @param props.rows the first is the heading; the others are cut to the number that a picture can hold */
function TablePicture({ rows }: { rows: string[][] }) {
  const shown = rows.slice(0, MOST_ROWS + 1);
  const columns = pictureColumns(shown);
  const last = columns.at(-1);
  const [width, height] = [(last ? last.left + last.width : 0) + GAP, shown.length * ROW + 10];
  return (
    <svg class="table-picture" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      {shown.map((_, k) => {
        const y = k * ROW + ROW + 1.5;
        return <line x1={GAP / 2} x2={width - GAP / 2} y1={y} y2={y} class={k === 0 ? "axis" : "axis-row"} />;
      })}
      {shown.map((row, k) => row.map((text, c) => <Cell {...{ text, row: k, column: columns[c] }} />))}
    </svg>
  );
}

type TableColumn = { left: number; width: number; number: boolean };

function pictureColumns(rows: string[][]): TableColumn[] {
  const measured = measure(`600 ${SIZE}px ${fontFamily("--sans")}`);
  let left = GAP;
  return (rows[0] ?? []).map((_, c) => {
    const width = Math.ceil(Math.max(...rows.map((row) => measured(row[c]))));
    const number = rows.length > 1 && rows.slice(1).every((row) => row[c] !== "" && !Number.isNaN(Number(row[c])));
    const column = { left, width, number };
    left += width + GAP;
    return column;
  });
}

function Cell({ text, row, column }: { text: string; row: number; column: TableColumn }) {
  const { left, width, number } = column;
  const [x, anchor] = number ? [left + width, "end"] : [left, "start"];
  return (
    <text x={x} y={row * ROW + 15} class={row === 0 ? "table-head" : "table-cell"} text-anchor={anchor}>
      {text}
    </text>
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
