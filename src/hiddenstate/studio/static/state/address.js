// Writes the view to the page's address and parses it: short, readable, and parsed with care, because anyone may have
// typed it.

/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").View} View */

/**
 * Writes and reads one key of the view. `read` returns undefined for invalid text.
 * @template T
 * @typedef {{name: string, write: (value: T) => string, read: (text: string) => T | undefined}} Codec
 */

export const MOST_CHARACTERS = 20000;
const PLACE = /^l(0|[1-9]\d{0,2})r?\.[a-z](_pre)?$/;
const SORT = /^(index|change|cluster|tag:.{1,40})$/;

/** @type {{[K in keyof View]: Codec<View[K]>}} */
const CODECS = {
  page: oneOf("page", ["read", "compare", "structure", "explain", "units", "search"]),
  model: text("model", 200),
  text: text("text", MOST_CHARACTERS),
  otherModel: text("model2", 200),
  otherText: text("text2", MOST_CHARACTERS),
  comparison: oneOf("compare", ["sentences", "models", "edits"]),
  align: oneOf("align", ["position", "words"]),
  step: count("step"),
  track: pattern("track", /^l(0|[1-9]\d{0,2})r?$/),
  quantity: pattern("show", /^[a-z]$/),
  unit: count("unit"),
  pinned: { name: "pin", write: (units) => units.join(","), read: counts },
  sort: pattern("sort", SORT),
  head: text("head", 40),
  zoom: oneOf("zoom", ["model", "layer", "unit", "gate"]),
  gate: pattern("gate", /^[a-z]$/),
  edits: { name: "edit", write: (edits) => edits.map(writeEdit).join(";"), read: readEdits },
  tour: { name: "tour", write: (at) => String(at + 1), read: (given) => lessOne(counted(given)) },
  rows: pattern("rows", /^-?[a-z]{1,20}\d{0,6}$/),
  filter: text("filter", 200),
  label: text("label", 200),
  measure: oneOf("of", ["auto", "logit", "probability"]),
  memory: pattern("memory", /^(l(0|[1-9]\d{0,2})r?\.[ch]\[\d{1,6}\])?$/),
  writer: { name: "word", write: (at) => String(at + 1), read: (given) => lessOne(counted(given)) },
  method: oneOf("method", ["occlusion", "shapley"]),
  players: oneOf("replace", ["words", "steps"]),
  sandbox: pattern("lstm", /^(\d{1,6}(,\d{1,6}){8})?$/),
  query: text("query", 2000),
  unitRows: pattern("units", /^-?[a-z_0-9]{1,20}$/),
  unitFilter: text("find", 200),
  theme: oneOf("theme", ["auto", "light", "dark"]),
};
const KEYS = /** @type {(keyof View)[]} */ (Object.keys(CODECS));

/**
 * @param {View} view
 * @param {View[]} firsts possible initial views: values that equal those in all of them are left out
 * @returns {string} "text=She+said&step=4", without "#"
 */
export function toHash(view, firsts) {
  return KEYS.map((key) => pair(key, view, firsts))
    .filter((written) => written !== "")
    .join("&");
}

/**
 * @template {keyof View} K
 * @param {K} key
 * @param {View} view
 * @param {View[]} firsts
 */
function pair(key, view, firsts) {
  const { name, write } = CODECS[key];
  const written = write(view[key]);
  return firsts.every((first) => written === write(first[key])) ? "" : `${name}=${escaped(written)}`;
}

/**
 * Escapes text as forms do, except for characters that are allowed in addresses.
 * @param {string} value
 */
function escaped(value) {
  const plain = encodeURIComponent(value).replaceAll("%20", "+");
  return plain.replace(/%(3A|3B|2C|40|2F|3F)/g, (sign) => decodeURIComponent(sign));
}

/**
 * @param {string} hash with or without "#"
 * @returns {{view: Partial<View>, broken: string[]}} the valid parts, and the invalid ones
 */
export function fromHash(hash) {
  /** @type {Record<string, unknown>} */
  const view = {};
  /** @type {string[]} */
  const broken = [];
  for (const [name, given] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const key = KEYS.find((known) => CODECS[known].name === name);
    const value = key && CODECS[key].read(given);
    if (key === undefined || value === undefined) broken.push(given === "" ? name : `${name}=${given}`);
    else view[key] = value;
  }
  return { view, broken };
}

/**
 * @template {string} T
 * @param {string} name
 * @param {readonly T[]} allowed
 * @returns {Codec<T>}
 */
function oneOf(name, allowed) {
  return { name, write: (value) => value, read: (given) => allowed.find((value) => value === given) };
}

/**
 * @param {string} name
 * @param {number} most
 * @returns {Codec<string>}
 */
function text(name, most) {
  return { name, write: (value) => value, read: (given) => (given.length <= most ? given : undefined) };
}

/**
 * @param {string} name
 * @param {RegExp} form
 * @returns {Codec<string>}
 */
function pattern(name, form) {
  return { name, write: (value) => value, read: (given) => (form.test(given) ? given : undefined) };
}

/**
 * @param {string} name
 * @returns {Codec<number>}
 */
function count(name) {
  return { name, write: String, read: counted };
}

/** @param {string} given */
function counted(given) {
  return /^\d{1,7}$/.test(given) ? Number(given) : undefined;
}

/** @param {number | undefined} value */
function lessOne(value) {
  return value === undefined ? undefined : value - 1;
}

/** @param {string} given */
function counts(given) {
  if (given === "") return [];
  const read = given.split(",").map(counted);
  return read.includes(undefined) ? undefined : [...new Set(/** @type {number[]} */ (read))];
}

/**
 * "l1.f:set:0:u203:t4", with more units and steps after commas, and ":readout" if that is its scope.
 * @param {Edit} edit
 */
function writeEdit({ place, kind, value, unit, t, scope }) {
  const parts = [place, kind, String(value)];
  if (unit !== null) parts.push(`u${unit.join(",")}`);
  if (t !== null) parts.push(`t${t.join(",")}`);
  if (scope === "readout") parts.push(scope);
  return parts.join(":");
}

/** @param {string} given */
function readEdits(given) {
  if (given === "") return [];
  const read = given.split(";").map(readEdit);
  return read.includes(undefined) ? undefined : /** @type {Edit[]} */ (read);
}

/**
 * @param {string} given
 * @returns {Edit | undefined}
 */
function readEdit(given) {
  const [place, kind, value, ...rest] = given.split(":");
  const known =
    ["set", "scale", "add"].includes(kind) && PLACE.test(place) && value !== "" && Number.isFinite(Number(value));
  const units = listed(rest, "u");
  const steps = listed(rest, "t");
  const readout = rest[0] === "readout" && rest.shift() !== undefined;
  if (!known || units === undefined || steps === undefined || rest.length > 0) return undefined;
  return {
    place,
    kind: /** @type {Edit["kind"]} */ (kind),
    value: Number(value),
    unit: units,
    t: steps,
    scope: readout ? "readout" : "write",
  };
}

/**
 * Removes "u3,4" from the front of the parts, if present.
 * @param {string[]} parts
 * @param {string} letter
 * @returns {number[] | null | undefined}
 */
function listed(parts, letter) {
  if (!parts[0]?.startsWith(letter) || parts[0] === "readout") return null;
  const read = counts(parts[0].slice(1));
  parts.shift();
  return read?.length ? read : undefined;
}
