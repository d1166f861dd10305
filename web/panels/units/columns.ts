// Defines how the columns of the gallery are formatted, sorted and filtered.

import { OPEN, SHUT } from "studio/facts.js";
import type { UnitColumns } from "studio/state/corpus.js";
import { percent, tick } from "studio/ui/draw.js";

interface UnitColumn {
  key: keyof UnitColumns;
  title: string;
  about: string;
  write: (value: any, neverForgets: boolean) => string;
}

const two = (value: number) => tick(value >= 0 ? `+${value.toFixed(2)}` : value.toFixed(2));

export const UNIT_COLUMNS: UnitColumn[] = [
  { key: "unit", title: "Unit", about: "by layer and number", write: String },
  {
    key: "label",
    title: "Label",
    about: "the label it correlates with most, chosen on one half of the sequences",
    write: String,
  },
  {
    key: "held_out",
    title: "r",
    about: "its correlation with the label on the other half, the largest first",
    write: (value) => (value === null ? "\u2013" : two(value)),
  },
  { key: "shape", title: "Distribution", about: "from its lowest possible value to its highest", write: () => "" },
  { key: "mean", title: "Mean", about: "over the corpus", write: two },
  { key: "deviation", title: "Spread", about: "the standard deviation", write: (value) => value.toFixed(2) },
  {
    key: "low",
    title: "Low",
    about: `the fraction of steps below ${SHUT} for a gate, below ${tick(-OPEN)} otherwise`,
    write: percent,
  },
  { key: "high", title: "High", about: `the fraction of steps above ${OPEN}`, write: percent },
  {
    key: "time_constant",
    title: "Memory",
    about: "the time constant in steps, if the forget gate was indexed",
    write: (value, neverForgets) => (neverForgets ? "\u221e" : value === null ? "\u2013" : value.toFixed(1)),
  },
];

const SIGNED = new Set(["held_out", "chosen"]); // sorted by absolute value, because a strong negative correlation matters as well

/**
 * The units that match a filter, in order.
 *
 * @param by a column's name, with "-" in front for descending order
 * @param filter words that a unit's address or label contains
 * @returns entries of the columns
 */
export function arranged(columns: UnitColumns, by: string, filter: string): number[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = columns.unit.map((unit, k) => `${unit} ${columns.label[k]}`.toLowerCase());
  const found = texts.flatMap((text, k) => (words.every((word) => text.includes(word)) ? [k] : []));
  const key = by.replace(/^-/, "");
  const known = UNIT_COLUMNS.some((column) => column.key === key);
  const values = columns[known ? (key as keyof UnitColumns) : "held_out"] as (string | number | null)[];
  const worth = (k: number) => {
    const value = key === "time_constant" && columns.never_forgets[k] ? Infinity : values[k];
    if (key === "unit") return addressKey(columns.unit[k]);
    if (typeof value === "number") return SIGNED.has(key) ? Math.abs(value) : value;
    return value ?? -Infinity;
  };
  const worths = new Map(found.map((k) => [k, worth(k)]));
  const sign = by.startsWith("-") ? -1 : 1;
  return found.sort((a, b) => {
    const [x, y] = [worths.get(a) ?? 0, worths.get(b) ?? 0];
    return x < y ? -sign : x > y ? sign : a - b;
  });
}

/** The sort key of an address: by place, then by number. */
function addressKey(address: string) {
  return address.replace(/\d+/g, (digits) => digits.padStart(7, "0"));
}
