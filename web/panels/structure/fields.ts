// The controls of the sandbox: a number field and a slider for each size, and three check boxes.

import type { Setup } from "studio/panels/structure/setup.js";
import { element } from "studio/ui/draw.js";

interface NumberField {
  key: "inputSize" | "hiddenSize" | "numLayers" | "projSize" | "T" | "N";
  label: string;
  letter: string;
  low: number;
  slider: number; // the slider's end
  high: number;
}

const NUMBERS: NumberField[] = [
  { key: "inputSize", label: "input size", letter: "C", low: 1, slider: 64, high: 100000 },
  { key: "hiddenSize", label: "hidden size", letter: "H", low: 1, slider: 64, high: 100000 },
  { key: "numLayers", label: "layers", letter: "L", low: 1, slider: 6, high: 32 },
  { key: "projSize", label: "projection", letter: "P", low: 0, slider: 32, high: 100000 },
  { key: "T", label: "time steps", letter: "T", low: 1, slider: 20, high: 100000 },
  { key: "N", label: "batch rows", letter: "N", low: 1, slider: 32, high: 100000 },
];
const TICKS: ["bidirectional" | "bias" | "batchFirst", string][] = [
  ["bidirectional", "both directions"],
  ["bias", "bias"],
  ["batchFirst", "batch_first"],
];

export function fields(change: (patch: Partial<Setup>) => void): { root: HTMLElement; show: (setup: Setup) => void } {
  const numbers = NUMBERS.map((field) => numberField(field, (value) => change({ [field.key]: value })));
  const ticks = TICKS.map(([key, label]) => tick(label, (value) => change({ [key]: value })));
  const root = element("div", { class: "st-fields" }, [
    ...numbers.map(({ root }) => root),
    element(
      "div",
      { class: "st-ticks" },
      ticks.map(({ root }) => root),
    ),
  ]);
  const show = (setup: Setup) => {
    NUMBERS.forEach(({ key }, k) => numbers[k].show(setup[key]));
    TICKS.forEach(([key], k) => (ticks[k].input.checked = setup[key]));
  };
  return { root, show };
}

function numberField({ key, label, letter, low, slider, high }: NumberField, change: (value: number) => void) {
  const id = `st-${key}`;
  const number = element("input", { type: "number", id, min: low, max: high, step: 1, class: "number", name: key });
  const range = element("input", { type: "range", min: low, max: slider, step: 1, "aria-label": `${label}, slider` });
  number.addEventListener("input", () => {
    if (number.validity.valid && number.value !== "") change(Number(number.value));
  });
  range.addEventListener("input", () => change(Number(range.value)));
  const show = (value: number) => {
    if (number.value === "" || Number(number.value) !== value) number.value = String(value);
    range.value = String(value);
  };
  const title = element("label", { for: id }, [element("i", { text: letter }), ` ${label}`]);
  return { root: element("div", { class: "st-field" }, [title, range, number]), show };
}

function tick(label: string, change: (value: boolean) => void) {
  const input = element("input", { type: "checkbox", on: { change: () => change(input.checked) } });
  return { root: element("label", { class: "st-tick" }, [input, ` ${label}`]), input };
}
