// Writes the view to the page's address and parses it: short, readable, and parsed with care, because anyone may have
// typed it.

import { CHOICES, EDIT_KINDS, MOST_CHARACTERS } from "studio/facts.js";
import type { Edit, View } from "studio/types.js";

/** Writes and reads one key of the view. `read` returns undefined for invalid text. */
type Codec<T> = { name: string; write: (value: T) => string; read: (text: string) => T | undefined };

/** A key whose text is in the address as it is. */
const plain = <T extends string>(name: string, fits: (given: string) => boolean): Codec<T> => ({
  ...{ name, write: (value) => value, read: (given) => (fits(given) ? (given as T) : undefined) },
});
const oneOf = <T extends string>(name: string, allowed: readonly T[]) =>
  plain<T>(name, (given) => allowed.some((value) => value === given));
const text = (name: string, most: number) => plain(name, ({ length }) => length <= most);
const pattern = (name: string, form: RegExp) => plain(name, (given) => form.test(given));

const COUNT = /^\d{1,7}$/;
/** A key for numbers, of which the address has no negative ones; `least`: the least of them. */
const count = (name: string, least: number = 0): Codec<number> => ({
  ...{ name, write: (value) => String(value - least) },
  read: (given) => (COUNT.test(given) ? Number(given) + least : undefined),
});
const SORT = /^(index|change|cluster|tag:.{1,40})$/;
const NUMBERS = "\\d{1,7}(?:,\\d{1,7})*";
const PINNED = new RegExp(`^(${NUMBERS})?$`);
const EDIT = new RegExp(
  `^(l(?:0|[1-9]\\d{0,2})r?\\.[a-z](?:_pre)?):(${EDIT_KINDS.join("|")}):([^:]+)(?::u(${NUMBERS}))?(?::t(${NUMBERS}))?(:readout)?$`,
);

const CODECS: { [K in keyof View]: Codec<View[K]> } = {
  page: oneOf("page", CHOICES.page),
  model: text("model", 200),
  text: text("text", MOST_CHARACTERS),
  otherModel: text("model2", 200),
  otherText: text("text2", MOST_CHARACTERS),
  comparison: oneOf("compare", CHOICES.comparison),
  align: oneOf("align", CHOICES.align),
  step: count("step"),
  track: pattern("track", /^l(0|[1-9]\d{0,2})r?$/),
  quantity: pattern("show", /^[a-z]$/),
  unit: count("unit"),
  pinned: { name: "pin", write: String, read: (given) => (PINNED.test(given) ? numbers(given) : undefined) },
  sort: pattern("sort", SORT),
  head: text("head", 40),
  zoom: oneOf("zoom", CHOICES.zoom),
  gate: pattern("gate", /^[a-z]$/),
  edits: { name: "edit", write: (edits) => edits.map(writeEdit).join(";"), read: readEdits },
  tour: count("tour", -1),
  rows: pattern("rows", /^-?[a-z]{1,20}\d{0,6}$/),
  filter: text("filter", 200),
  label: text("label", 200),
  measure: oneOf("of", CHOICES.measure),
  memory: pattern("memory", /^(l(0|[1-9]\d{0,2})r?\.[ch]\[\d{1,6}\])?$/),
  writer: count("word", -1),
  method: oneOf("method", CHOICES.method),
  players: oneOf("replace", CHOICES.players),
  sandbox: pattern("lstm", /^(\d{1,6}(,\d{1,6}){8})?$/),
  query: text("query", 2000),
  unitRows: pattern("units", /^-?[a-z_0-9]{1,20}$/),
  unitFilter: text("find", 200),
  theme: oneOf("theme", CHOICES.theme),
};
const KEYS = Object.keys(CODECS) as (keyof View)[];

/** Leaves out values that equal those in all possible first views: "text=She+said&step=4", without "#". */
export const toHash = (view: View, firsts: View[]): string =>
  KEYS.map((key) => pair(key, view, firsts))
    .filter((written) => written !== "")
    .join("&");

function pair<K extends keyof View>(key: K, view: View, firsts: View[]) {
  const { name, write } = CODECS[key];
  const written = write(view[key]);
  return firsts.every((first) => written === write(first[key])) ? "" : `${name}=${escaped(written)}`;
}

/** Escapes text as forms do, except for characters that are allowed in addresses. */
function escaped(value: string) {
  const plain = encodeURIComponent(value).replaceAll("%20", "+");
  return plain.replace(/%(3A|3B|2C|40|2F|3F)/g, (sign) => decodeURIComponent(sign));
}

/** `hash`: with or without "#"; returns the valid parts, and the invalid ones */
export function fromHash(hash: string): { view: Partial<View>; broken: string[] } {
  const view: Record<string, unknown> = {};
  const broken: string[] = [];
  for (const [name, given] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const key = KEYS.find((known) => CODECS[known].name === name);
    const value = key && CODECS[key].read(given);
    if (key === undefined || value === undefined) broken.push(given === "" ? name : `${name}=${given}`);
    else view[key] = value;
  }
  return { view, broken };
}

const numbers = (given: string) => [...new Set(given === "" ? [] : given.split(",").map(Number))];

/** "l1.f:set:0:u203:t4", with more units and steps after commas, and ":readout" if that is its scope. */
function writeEdit({ place, kind, value, unit, t, scope }: Edit) {
  const parts = [place, kind, String(value)];
  if (unit !== null) parts.push(`u${unit.join(",")}`);
  if (t !== null) parts.push(`t${t.join(",")}`);
  if (scope === "readout") parts.push(scope);
  return parts.join(":");
}

function readEdits(given: string) {
  if (given === "") return [];
  const read = given.split(";").map(readEdit);
  return read.includes(undefined) ? undefined : (read as Edit[]);
}

function readEdit(given: string): Edit | undefined {
  const [, place, kind, value, unit, t, readout] = EDIT.exec(given) ?? [];
  if (!Number.isFinite(Number(value))) return undefined;
  const [units, steps] = [unit, t].map((listed) => (listed ? numbers(listed) : null));
  const scope = readout ? "readout" : "write";
  return { place, kind: kind as Edit["kind"], value: Number(value), unit: units, t: steps, scope };
}
