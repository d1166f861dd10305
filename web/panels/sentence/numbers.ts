// Numeric input, for a layer without a vocabulary: a signal by name, or the user's own rows.

import { MOST_CHARACTERS } from "studio/state/address.js";
import { givenRows, NAME_END, rowsOf, signalNamed, SIGNALS } from "studio/state/input.js";
import { hasWords } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { Model } from "studio/types.js";
import { segments } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";

const REST = 120;
const FIRST = 8; // initial number of rows of noise

export function createNumbers({ store, session }: App, model: Model): HTMLElement {
  const columns = model.tracks[0].inputSize;
  const steps = counter("Steps", 24, 1, 400);
  const seed = counter("Seed", 0, 0, 999999);
  const say = (text: string) => store.set({ text });
  const choices = [
    ...(model.given ? [{ value: "given", text: "as given" }] : []),
    ...SIGNALS.map((name) => ({ value: name, text: name })),
    { value: "rows", text: "own rows" },
  ];
  const kinds = segments("Signal", choices, (kind) => say(described(kind)));
  const rows = element("textarea", {
    id: "rows",
    rows: 3,
    spellcheck: "false",
    class: "number",
    "aria-label": `Rows of ${columns} numbers, one row per step`,
    placeholder: `one row per step, ${columns} numbers in each, separated by commas`,
  });
  const note = element("p", { class: "soft", role: "status" });
  const described = (kind: string) => {
    if (kind === "given") return "";
    if (kind === "rows") return ownRows(store.get().text, model);
    return `${kind} ${steps.input.value}${kind === "noise" ? ` ${seed.input.value}` : ""}`;
  };
  for (const input of [steps.input, seed.input]) {
    input.addEventListener("input", () => input.checkValidity() && say(described(kindOf(store.get().text, model))));
  }
  afterRest(rows, () => say(rows.value));
  const show = () => {
    const { text } = store.get();
    const kind = kindOf(text, model);
    kinds.show(kind);
    rows.hidden = kind !== "rows";
    steps.root.hidden = kind === "rows" || kind === "given";
    seed.root.hidden = kind !== "noise";
    const [, length, start] = text.trim().split(/\s+/);
    if (kind !== "rows" && kind !== "given") fillIn(steps.input, length);
    if (kind === "noise") fillIn(seed.input, start);
    note.textContent = kind === "rows" ? shortage(text, model) : "";
    if (kind === "rows" && document.activeElement !== rows) rows.value = text;
  };
  store.subscribe(["text"], show);
  session.on("run", show);
  show();
  return element("div", { class: "numbers-in" }, [
    element("div", { class: "numbers-choice" }, [kinds.root, steps.root, seed.root]),
    rows,
    note,
  ]);
}

function fillIn(input: HTMLInputElement, value: string | undefined) {
  if (value !== undefined && /^\d+$/.test(value) && document.activeElement !== input) input.value = value;
}

function kindOf(text: string, model: Model): string {
  if (text.trim() === "") return model.given ? "given" : "noise";
  return signalNamed(text) ?? "rows";
}

/**
 * The current input as text that can be edited: the numbers of the signal, or those given with the model, with their
 * names, as far as the page's address can hold them.
 */
function ownRows(text: string, { given, tracks }: Model): string {
  const columns = tracks[0].inputSize;
  if (text.trim() !== "")
    return rowsOf(text, columns)
      .map((row) => asText(row))
      .join("\n");
  const rows = givenRows(given);
  if (!given || !rows)
    return rowsOf(`noise ${FIRST} 0`, columns)
      .map((row) => asText(row))
      .join("\n");
  const named = hasWords(given);
  let lines = "";
  for (const [t, row] of rows.entries()) {
    const line = (named ? `${oneLine(given.tokens[t])}${NAME_END} ` : "") + asText(row);
    if (t > 0 && lines.length + 1 + line.length > MOST_CHARACTERS) break;
    lines += t > 0 ? `\n${line}` : line;
  }
  return lines;
}

/** What a text that begins with given numbers leaves out, in words. */
function shortage(text: string, model: Model) {
  if (!model.given || text !== ownRows("", model)) return "";
  const count = text.split("\n").length;
  return count < model.given.steps
    ? `The first ${count} of ${model.given.steps} rows; the page's address can't hold more.`
    : "";
}

function oneLine(name: string) {
  return name.replace(/\s+/g, " ");
}

/** The shortest decimals that give the same numbers in float32. */
function asText(row: Float32Array) {
  return Array.from(row, (value) => {
    const digits = [6, 7, 8].find((count) => Math.fround(Number(value.toPrecision(count))) === value) ?? 9;
    return String(Number(value.toPrecision(digits)));
  }).join(", ");
}

function counter(label: string, value: number, min: number, max: number) {
  const input = element("input", { type: "number", value, min, max, step: 1, class: "counter" });
  return { root: element("label", { class: "field" }, [element("span", { text: label }), input]), input };
}

/** @param fn called a moment after the last input */
function afterRest(box: HTMLTextAreaElement, fn: () => void) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(fn, REST);
  });
}
