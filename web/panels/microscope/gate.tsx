// How a gate is computed: the sum of its products, the largest first, and the activation curve.

import { SumRows, sumHeight, type Term, featureSource, gateTerms } from "studio/panels/microscope/sum.js";
import type { Scene } from "studio/panels/microscope/types.js";
import { activated, type CellKind } from "studio/runtime/kinds.js";
import { neighbours, unsquash, squashName } from "studio/state/moment.js";
import type { View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { format, tick } from "studio/ui/draw.js";
import { gateEffect } from "studio/ui/moment-words.js";
import { Text } from "studio/ui/stage.js";

const SHOWN = 5; // number of terms on each side
const CURVE = { x: 26, height: 106 };
const BESIDE = 280; // x of the text beside the curve

const WHY =
  "This is a recorded run: it has the value of each gate, but not the weights. So the sum behind a gate " +
  "can't be broken down here. Open the model itself in the studio to see every product.";

export const GateLevel = ({ scene }: { scene: Scene }) =>
  scene.model.hasWeights ? <Summed scene={scene} /> : <Traced scene={scene} />;

function Summed({ scene }: { scene: Scene }) {
  const { view } = useApp();
  const { model, run, info, track, width, go } = scene;
  const { gate, unit } = view;
  const step = Math.min(view.step, run.steps - 1);
  const dot = model.dotProduct(run, info.name, gate, unit, step);
  const { sum } = dot;
  const terms = gateTerms(model, info, unit, dot, SHOWN);
  /** Goes to a term's source: the unit below at this step, or a unit of this layer at the previous step. */
  const follow = ({ kind, index }: Term) => {
    const below = kind === "input" ? featureSource(model.tracks, info, index) : null;
    const inUnits = info.outputs === info.units;
    if (below && inUnits) return go({ zoom: "unit", track: below.track, unit: below.unit });
    const { before } = neighbours(track, step, run.steps);
    if (kind === "hidden" && before !== null && inUnits) go({ zoom: "unit", unit: index, step: before });
  };
  const y = sumHeight(terms) + 10;
  const isBeside = width >= BESIDE + 200;
  const [x, top] = isBeside ? [BESIDE, y + 30] : [0, y + CURVE.height + 12];
  const gives = activated(model.cell, gate, sum);
  const actual = gateValue(scene, gate, unit, step);
  const squash = `${gate} = ${squashName(model.cell, gate)}(${format(sum)}) = ${format(gives)}`;
  const whole = `sum, before the ${model.cell.activations[gate]}`;
  return (
    <svg
      {...{ class: "hs-sum", width, height: isBeside ? y + CURVE.height : top + 48, role: "group" }}
      aria-label={`How ${gate} of ${info.name}, unit ${unit}, is computed: ${squash}`}
    >
      <SumRows {...{ terms, sum, whole, width, follow }} />
      <g transform={`translate(${CURVE.x} ${y})`}>
        <Curve cell={model.cell} gate={gate} sum={sum} />
      </g>
      <Text x={x} y={top} kind="hs-equation" room={width - x} text={squash} />
      <Text x={x} y={top + 20} kind="hs-soft" room={width - x}>
        {`${model.meanings[gate]}: ${gateEffect(gate, gives)}`}
      </Text>
      <Text x={x} y={top + 40} kind="hs-note" room={width - x}>
        {Math.abs(actual - gives) > 5e-5 && `edited: the run has ${format(actual)}`}
      </Text>
    </svg>
  );
}

const gateValue = ({ track, info }: Scene, gate: string, unit: number, step: number): number =>
  track.values[gate][step * info.units + unit];

/** Shows only the curve with the gate's point, because a trace has no weights. */
function Traced({ scene }: { scene: Scene }) {
  const { gate, unit, step } = useApp().view;
  const { width, model } = scene;
  const value = gateValue(scene, gate, unit, step);
  const sum = unsquash(model.cell, gate, value);
  return (
    <div>
      <p class="hs-why">{WHY}</p>
      <svg class="hs-sum" width={width} height={CURVE.height + 36} role="group">
        <g transform={`translate(${CURVE.x} 10)`}>
          <Curve cell={model.cell} gate={gate} sum={sum} />
        </g>
        <Text x={CURVE.x} y={CURVE.height + 24} kind="hs-equation" room={width - CURVE.x}>
          {`${gate} = ${format(value)}${Number.isFinite(sum) ? `, so the sum was ${format(sum)}` : ""}`}
        </Text>
      </svg>
    </div>
  );
}

export function gateRows(scene: Scene, { gate, unit, step }: View): string[][] {
  const { model, run, info } = scene;
  if (!model.hasWeights) {
    const row = [gate, String(gateValue(scene, gate, unit, step))];
    return [["gate", "value"], row];
  }
  const terms = gateTerms(model, info, unit, model.dotProduct(run, info.name, gate, unit, step));
  const rows = terms.map(({ name, weight, factor, value }) => [name, weight ?? "", factor ?? "", value].map(String));
  return [["term", "weight", "value", "adds"], ...rows];
}

const SIZE = { width: 230, height: 86 };
const POINTS = 80;
const LEAST = 6; // the curve covers at least -6 to 6

function Curve({ cell, gate, sum }: { cell: CellKind; gate: string; sum: number }) {
  const { width, height } = SIZE;
  const activation = cell.activations[gate];
  const reach = Math.max(LEAST, Math.min(99, Math.ceil(Math.abs(sum) || 0)));
  const [low, high] = [activation === "tanh" ? -1 : 0, activation === "relu" ? reach : 1];
  const x = (at: number) => (width * (at + reach)) / (2 * reach);
  const y = (value: number) => height * (1 - (Math.min(value, high) - low) / (high - low));
  const points = Array.from({ length: POINTS + 1 }, (_, k) => -reach + (2 * reach * k) / POINTS);
  const line = points.map((at) => `${x(at).toFixed(1)} ${y(activated(cell, gate, at)).toFixed(1)}`);
  const here = { x: x(Math.max(-reach, Math.min(reach, sum || 0))), y: y(activated(cell, gate, sum || 0)) };
  const colour = `var(--q-${gate})`;
  const label = (at: number, down: number, anchor: "start" | "middle" | "end", value: number) => (
    <Text x={at} y={down} kind="hs-tick" anchor={anchor} text={tick(value)} />
  );
  return (
    <>
      <rect {...SIZE} class="hs-frame" />
      <line x1={width / 2} x2={width / 2} y1={0} y2={height} class="hs-axis" />
      <path class="hs-guides" d={`M${here.x} ${y(low)}L${here.x} ${here.y}L${x(-reach)} ${here.y}`} />
      <path class="hs-curve" stroke={colour} d={`M${line.join("L")}`} />
      <circle cx={here.x} cy={here.y} r={5} fill={colour} class="hs-point" />
      {label(0, height + 14, "start", -reach)}
      {label(width, height + 14, "end", reach)}
      {label(width / 2, height + 14, "middle", 0)}
      {label(-6, 4, "end", high)}
      {label(-6, height + 4, "end", low)}
    </>
  );
}
