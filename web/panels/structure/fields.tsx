// The controls of the sandbox: a number field and a slider for each size, and three check boxes.

import type { Setup } from "studio/panels/structure/setup.js";

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
const TICKS = { bidirectional: "both directions", bias: "bias", batchFirst: "batch_first" };

export function SizeFields({ setup, change }: { setup: Setup; change: (patch: Partial<Setup>) => void }) {
  return (
    <div class="st-fields">
      {NUMBERS.map(({ key, label, letter, low, slider, high }) => (
        <div class="st-field">
          <label for={`st-${key}`}>
            <i>{letter}</i> {label}
          </label>
          <input
            {...{ type: "range", min: low, max: slider, step: 1, "aria-label": `${label}, slider`, value: setup[key] }}
            onInput={({ currentTarget }) => change({ [key]: currentTarget.valueAsNumber })}
          />
          <input
            {...{ type: "number", id: `st-${key}`, min: low, max: high, step: 1, class: "number", name: key }}
            value={setup[key]}
            onInput={({ currentTarget: { validity, value } }) => {
              if (validity.valid && value !== "") change({ [key]: Number(value) });
            }}
          />
        </div>
      ))}
      <div class="st-ticks">
        {(Object.keys(TICKS) as (keyof typeof TICKS)[]).map((key) => (
          <label class="st-tick">
            <input
              {...{ type: "checkbox", checked: setup[key] }}
              onChange={({ currentTarget }) => change({ [key]: currentTarget.checked })}
            />{" "}
            {TICKS[key]}
          </label>
        ))}
      </div>
    </div>
  );
}
