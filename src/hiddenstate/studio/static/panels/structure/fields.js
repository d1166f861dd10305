// The controls of the sandbox: a number field and a slider for each size, and three check boxes.

import { element } from "studio/ui/draw.js";

/** @typedef {import("studio/panels/structure/setup.js").Setup} Setup */

/**
 * @typedef {object} NumberField
 * @property {"inputSize" | "hiddenSize" | "numLayers" | "projSize" | "T" | "N"} key
 * @property {string} label
 * @property {string} letter
 * @property {number} low
 * @property {number} slider the slider's end
 * @property {number} high
 */

/** @type {NumberField[]} */
const NUMBERS = [
  { key: "inputSize", label: "input size", letter: "C", low: 1, slider: 64, high: 100000 },
  { key: "hiddenSize", label: "hidden size", letter: "H", low: 1, slider: 64, high: 100000 },
  { key: "numLayers", label: "layers", letter: "L", low: 1, slider: 6, high: 32 },
  { key: "projSize", label: "projection", letter: "P", low: 0, slider: 32, high: 100000 },
  { key: "T", label: "time steps", letter: "T", low: 1, slider: 20, high: 100000 },
  { key: "N", label: "batch rows", letter: "N", low: 1, slider: 32, high: 100000 },
];
/** @type {[("bidirectional" | "bias" | "batchFirst"), string][]} */
const TICKS = [
  ["bidirectional", "both directions"],
  ["bias", "bias"],
  ["batchFirst", "batch_first"],
];

/**
 * @param {(patch: Partial<Setup>) => void} change
 * @returns {{root: HTMLElement, show: (setup: Setup) => void}}
 */
export function fields(change) {
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
  const show = (/** @type {Setup} */ setup) => {
    NUMBERS.forEach(({ key }, k) => numbers[k].show(setup[key]));
    TICKS.forEach(([key], k) => (ticks[k].input.checked = setup[key]));
  };
  return { root, show };
}

/**
 * @param {NumberField} field
 * @param {(value: number) => void} change
 */
function numberField({ key, label, letter, low, slider, high }, change) {
  const id = `st-${key}`;
  const number = element("input", { type: "number", id, min: low, max: high, step: 1, class: "number", name: key });
  const range = element("input", { type: "range", min: low, max: slider, step: 1, "aria-label": `${label}, slider` });
  number.addEventListener("input", () => {
    if (number.validity.valid && number.value !== "") change(Number(number.value));
  });
  range.addEventListener("input", () => change(Number(range.value)));
  const show = (/** @type {number} */ value) => {
    if (number.value === "" || Number(number.value) !== value) number.value = String(value);
    range.value = String(value);
  };
  const title = element("label", { for: id }, [element("i", { text: letter }), ` ${label}`]);
  return { root: element("div", { class: "st-field" }, [title, range, number]), show };
}

/**
 * @param {string} label
 * @param {(value: boolean) => void} change
 */
function tick(label, change) {
  const input = element("input", { type: "checkbox", on: { change: () => change(input.checked) } });
  return { root: element("label", { class: "st-tick" }, [input, ` ${label}`]), input };
}
