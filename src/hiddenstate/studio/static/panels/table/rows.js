// The content of the state table, sorted and filtered, independent of the page's elements.

import { headOf, predictionAt } from "studio/state/predictions.js";
import { hasWords } from "studio/state/tokens.js";
import { shownUnits, trackOf, valueAt } from "studio/state/units.js";

/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/state/session.js").Session} Session */
/** @typedef {{step: number, values: (string | number)[]}} Row */

/**
 * @typedef {object} Column
 * @property {string} key for sorting and filtering: "probability", "f12"
 * @property {string} title
 * @property {string} group the text before the title: "unit 12 "
 * @property {"text" | "number"} type
 * @property {number} digits
 * @property {(t: number) => string | number} value
 */

/**
 * @param {Session} session
 * @param {View} view
 * @returns {Column[]}
 */
export function columnsOf({ run, model }, view) {
  if (run === null || model === null) return [];
  return [
    column("step", "number", (t) => t, 0),
    ...(hasWords(run) ? [column("token", "text", (t) => run.tokens[t])] : []),
    ...predictions(run, view),
    ...unitColumns(run, model.quantities, view),
  ];
}

/**
 * @param {string} key
 * @param {Column["type"]} type
 * @param {Column["value"]} value
 * @param {number} [digits]
 * @returns {Column}
 */
function column(key, type, value, digits = 4) {
  return { key, title: key, group: "", type, digits, value };
}

/**
 * @param {Run} run
 * @param {View} view
 * @returns {Column[]}
 */
function predictions(run, view) {
  const head = headOf(run, view.head);
  const { surprise } = run;
  return [
    ...(head
      ? [
          column("prediction", "text", (t) => predictionAt(head, t).label),
          column("probability", "number", (t) => predictionAt(head, t).probability),
        ]
      : []),
    ...(surprise ? [column("surprise", "number", (t) => surprise[t])] : []),
  ];
}

/**
 * @param {Run} run
 * @param {readonly string[]} quantities
 * @param {View} view
 * @returns {Column[]}
 */
function unitColumns(run, quantities, view) {
  const track = trackOf(run, view.track);
  return shownUnits(view).flatMap((unit) =>
    quantities.map((name) => ({
      ...column(`${name}${unit}`, "number", (t) => valueAt(track, name, unit, t)),
      title: name,
      group: `${unit} `,
    })),
  );
}

/**
 * An example for the filter.
 * @param {Column[]} columns
 * @param {Session} session
 * @param {View} view
 * @returns {string} "NOUN, probability<0.6"
 */
export function exampleOf(columns, { run }, view) {
  if (run === null || columns.length === 0) return "";
  if (run.surprise) return "surprise>3";
  const head = headOf(run, view.head);
  if (head === null) return `${columns[columns.length - 1].key}>0.5`;
  return `${head.labels.includes("NOUN") ? "NOUN" : head.labels[0]}, probability<0.6`;
}

/**
 * @param {Column[]} columns
 * @param {Session} session
 * @param {View} view
 * @returns {Row[]}
 */
export function shownRows(columns, { run }, { rows: sort, filter }) {
  const fits = fitting(columns, filter);
  const all = Array.from({ length: run?.steps ?? 0 }, (_, t) => ({
    step: t,
    values: columns.map(({ value }) => value(t)),
  }));
  const kept = all.filter(fits);
  const down = sort.startsWith("-");
  const at = columns.findIndex(({ key }) => key === sort.replace("-", ""));
  if (at < 0) return kept;
  return kept.sort((a, b) => (down ? -1 : 1) * compared(a.values[at], b.values[at]) || a.step - b.step);
}

/**
 * @param {string | number} a
 * @param {string | number} b
 */
function compared(a, b) {
  if (typeof a === "number" && typeof b === "number") return (Number.isNaN(a) ? -1 : a - b) || 0;
  return String(a).localeCompare(String(b));
}

/**
 * @param {Column[]} columns
 * @param {string} filter words, and comparisons such as "probability<0.6"
 * @returns {(row: Row) => boolean}
 */
function fitting(columns, filter) {
  const tests = filter
    .trim()
    .split(/\s+/)
    .filter((term) => term !== "")
    .map((term) => termTest(columns, term));
  return (row) => tests.every((test) => test(row));
}

/**
 * @param {Column[]} columns
 * @param {string} term
 * @returns {(row: Row) => boolean}
 */
function termTest(columns, term) {
  const [, key, sign, number] = /^([a-z]+\d*)([<>])(-?\d*\.?\d+)$/.exec(term) ?? [];
  const at = columns.findIndex((one) => one.key === key && one.type === "number");
  if (at >= 0)
    return ({ values }) => (sign === "<" ? Number(values[at]) < Number(number) : Number(values[at]) > Number(number));
  const texts = columns.flatMap(({ type }, k) => (type === "text" ? [k] : []));
  const wanted = term.toLowerCase();
  return ({ values }) => texts.some((k) => String(values[k]).toLowerCase().includes(wanted));
}
