// Numeric input, for a layer without a vocabulary: a signal by name, or the user's own rows.

import { type Signal, rowsOf, SIGNALS } from "studio/state/input.js";
import type { App } from "studio/state/types.js";
import type { Model } from "studio/types.js";
import { segments } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";

const REST = 120;
const FIRST = 8; // initial number of rows

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
  const described = (kind: string) => {
    if (kind === "given") return "";
    if (kind === "rows") return asRows(rowsNow(store.get().text, model));
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
    if (isSignal(kind)) fillIn(steps.input, length);
    if (kind === "noise") fillIn(seed.input, start);
    if (kind === "rows" && document.activeElement !== rows) rows.value = text;
  };
  store.subscribe(["text"], show);
  session.on("run", show);
  show();
  return element("div", { class: "numbers-in" }, [
    element("div", { class: "numbers-choice" }, [kinds.root, steps.root, seed.root]),
    rows,
  ]);
}

function isSignal(name: string) {
  return SIGNALS.includes(name as Signal);
}

function fillIn(input: HTMLInputElement, value: string | undefined) {
  if (value !== undefined && /^\d+$/.test(value) && document.activeElement !== input) input.value = value;
}

function kindOf(text: string, model: Model): string {
  const name = text.trim().split(/\s+/)[0];
  if (isSignal(name)) return name;
  if (text.trim() !== "") return "rows";
  return model.given ? "given" : "noise";
}

/** The current input. Of given numbers, only the beginning is shown, so that they can be edited by hand. */
function rowsNow(text: string, { given, tracks }: Model): Float32Array[] {
  const columns = tracks[0].inputSize;
  if (text.trim() !== "") return rowsOf(text, columns);
  const input = given?.tracks[0].input;
  if (!input) return rowsOf(`noise ${FIRST} 0`, columns);
  const length = Math.min(FIRST, input.length / columns);
  return Array.from({ length }, (_, t) => input.subarray(t * columns, (t + 1) * columns));
}

function asRows(rows: Float32Array[]) {
  return rows.map((row) => Array.from(row, (value) => String(Number(value.toFixed(4)))).join(", ")).join("\n");
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
