// The sandbox: the user changes the sizes of a layer, and all shapes follow.

import { useComputed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { unroll, UnrolledPicture } from "studio/panels/structure/picture.js";
import { Claims, codeLines, parameterRows, Results, shapeRows } from "studio/panels/structure/results.js";
import { type Setup, LESSON, modelSizes, readSetup, refusal, writeSetup } from "studio/panels/structure/sizes.js";
import { type CellKind, KINDS } from "studio/runtime/kinds.js";
import { useApp } from "studio/ui/app.js";
import { Button, Code, Says } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";

const HELP =
  "A hypothetical layer with the cell of this model: choose its sizes, and see what goes in, what comes out, which parameters it " +
  "has and what its equations multiply. The letters are used throughout the page: T time steps, N rows of " +
  "the batch, C input features, H hidden units, P projected units, L layers, D directions.";
const NONE: CellKind = { ...KINDS.LSTM, gates: [], states: [] };
const DRAWN_STEPS = 4;
const DRAWN_LAYERS = 4;

export function SandboxPanel() {
  const { store, session, view } = useApp();
  const setup = useComputed((): Setup => ({ ...readSetup(view.sandbox), cell: session.model?.cell ?? NONE })).value;
  const change = (patch: Partial<Setup>) => store.set({ sandbox: writeSetup({ ...setup, ...patch }) });
  const why = refusal(setup);
  const last = useRef(setup); // the last possible layer, which is shown while the sizes are impossible
  if (why === "") last.current = setup;
  const { current: shown } = last;
  return (
    <Panel
      {...{ id: "sandbox", title: "Sandbox: sizes and shapes", help: HELP, kind: why === "" ? "" : "is-refused" }}
      picture={() => <UnrolledPicture plan={drawnPlan(shown)} />}
      exports={{ csv: () => [...shapeRows(setup), [], ...parameterRows(setup)] }}
    >
      <div class="st-sandbox">
        <div class="st-left">
          <div class="st-presets">
            <Button text="the lesson's (4, 3)" press={() => change(LESSON)} />
            <Button text="the sizes of this model" press={() => session.model && change(modelSizes(session.model))} />
          </div>
          <SizeFields {...{ setup, change }} />
          <Says kind="st-refused" how="alert" text={why} />
          <Code title="In Python" text={codeLines(shown)} kind="st-code" />
          <div class="st-claims">
            <Claims setup={shown} />
          </div>
        </div>
        <div class="st-results">
          <Results setup={shown} gates={session.model?.gates ?? []} />
        </div>
      </div>
      <div class="st-scroll st-drawing" tabindex={0} role="region" aria-label="The layer unrolled">
        <UnrolledPicture plan={drawnPlan(shown)} />
      </div>
      <p class="soft st-notes">{drawnText(shown)}</p>
    </Panel>
  );
}

function drawnPlan(setup: Setup) {
  const words = Array.from({ length: Math.min(setup.T, DRAWN_STEPS) }, (_, t) => `step ${t}`);
  const sizes = { ...setup, numLayers: Math.min(setup.numLayers, DRAWN_LAYERS) };
  return unroll(sizes, words, { rows: setup.N, steps: setup.T, layers: setup.numLayers });
}

function drawnText({ T, numLayers }: Setup): string {
  const parts = [
    T > DRAWN_STEPS && `${DRAWN_STEPS} of ${T} steps`,
    numLayers > DRAWN_LAYERS && `${DRAWN_LAYERS} of ${numLayers} layers`,
  ].filter(Boolean);
  return parts.length > 0 ? `${parts.join(" and ")} are drawn.` : "";
}

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

const SizeFields = ({ setup, change }: { setup: Setup; change: (patch: Partial<Setup>) => void }) => (
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
