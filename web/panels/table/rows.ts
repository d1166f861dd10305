// The content of the state table, sorted and filtered, independent of the page's elements.

import { findHead, hasWords, predictionAt, shownUnits, trackOf, valueAt } from "studio/state/run.js";
import type { Session } from "studio/state/session.js";
import { seriesLines } from "studio/state/series.js";
import type { Run, View } from "studio/types.js";

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
