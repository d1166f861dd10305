// The panel of weights: torch's stacked matrices of one layer and direction, and a table of all weights by name.

import { useComputed } from "@preact/signals";
import { WeightsFigure } from "studio/panels/structure/figure.js";
import type { Figure, Scale, Weights } from "studio/panels/structure/matrix.js";
import {
  MatrixFrame,
  placeMatrices,
  pointImage,
  stackedMatrices,
  weightRgb,
  weightScale,
} from "studio/panels/structure/matrix.js";
import { RowTable, weightRows } from "studio/panels/structure/results.js";
import { useApp } from "studio/ui/app.js";
import { TrackChoice } from "studio/ui/form.js";
import { ScaleBar } from "studio/ui/legend.js";
import { Panel } from "studio/ui/panel.js";
import { Stage, Text } from "studio/ui/stage.js";

const HELP =
  "Every weight of one layer and direction, stacked as in torch: the gates on top of one another, a row for each " +
  "unit. W_i weighs the layer's input x, W_h the previous hidden state; W_hr, if there is a projection, has a row " +
  "for each element of h. Point at a weight to read it by name; click to see what it adds at the current step.";
const ROOM = 600; // minimum width of the matrices in pixels, even if they must scroll

export function WeightsPanel() {
  const { store, session, view } = useApp();
  const chosen = useComputed(() => {
    const { model } = session;
    return model?.tracks.find(({ name }) => name === view.track) ?? model?.tracks[0];
  });
  const matrices = useComputed(() => {
    const { model } = session;
    return model?.hasWeights && chosen.value ? stackedMatrices(model, chosen.value) : null;
  });
  const scale = useComputed(() => matrices.value && weightScale(matrices.value.map(({ values }) => values))).value;
  const { model } = session;
  const { value: track } = chosen;
  const shown = (width: number): Weights | null => {
    if (!model || !track || !matrices.value || !scale) return null;
    const figure = placeMatrices(matrices.value, Math.max(ROOM, width));
    return { model, track, matrices: matrices.value, scale, figure };
  };
  return (
    <Panel
      {...{ id: "weights", title: "Weights by gate", help: HELP }}
      picture={(width) => {
        const weights = shown(width);
        return weights && <WeightsPicture {...weights} />;
      }}
      exports={{ csv: () => (model && track ? weightRows(model, track) : []) }}
      tools={
        model &&
        track && (
          <>
            <span class="st-picker">
              <TrackChoice
                options={model.tracks.map(({ name }) => ({ value: name, text: name }))}
                value={track.name}
                choose={(name) => store.set({ track: name })}
              />
            </span>
            {scale && (
              <span class="st-bar">
                <ColourBar limit={scale.limit} />
              </span>
            )}
          </>
        )
      }
    >
      {model && !model.hasWeights && (
        <p class="hs-why">A recorded run has no weights. Open the model itself to see them.</p>
      )}
      <Stage>
        {(width) => {
          const weights = shown(width);
          return (
            weights && (
              <>
                <WeightsFigure weights={weights} key={weights.track.name} />
                <p class="soft st-notes">{captionText(weights.figure, weights.scale)}</p>
              </>
            )
          );
        }}
      </Stage>
      {model?.hasWeights && track && (
        <details class="st-table">
          <summary>All weights of {track.name} by name</summary>
          <RowTable rows={weightRows(model, track)} />
        </details>
      )}
    </Panel>
  );
}

/** Explains what a point of the picture stands for, and how many weights are outside the colour scale. */
function captionText({ pixel, block }: Figure, { limit, beyond, count }: Scale): string {
  const size = pixel > 1 ? `A weight is ${pixel} × ${pixel} pixels.` : "A weight is one pixel.";
  const point = block > 1 ? `Each pixel covers ${block} × ${block} weights and shows the one farthest from 0.` : size;
  const [many, all] = [beyond, count].map((number) => number.toLocaleString("en"));
  return beyond ? `${point} Colours reach ±${limit}; ${many} of ${all} weights are outside that range.` : point;
}

const HEAD = 30;
const FOOT = 34;

function WeightsPicture(weights: Weights) {
  const { model, track, figure, scale } = weights;
  const [width, height] = [figure.width, figure.height + HEAD + FOOT];
  return (
    <svg class="weights-picture" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      <Text x={8} y={18} kind="picture-title" text={`Weights of ${track.name} in ${model.name}`} />
      <g transform={`translate(0 ${HEAD})`}>
        {figure.placed.map((placed) => (
          <>
            <image
              {...{ x: placed.x, y: placed.y, width: placed.width, height: placed.height, class: "points" }}
              preserveAspectRatio="none"
              href={pointImage(placed.matrix, figure.block, scale.limit).toDataURL()}
            />
            <MatrixFrame {...{ placed, weights }} />
          </>
        ))}
      </g>
      <svg x={8} y={figure.height + HEAD + 4}>
        <ColourBar limit={scale.limit} />
      </svg>
    </svg>
  );
}

const ColourBar = ({ limit }: { limit: number }) => (
  <ScaleBar
    {...{ width: 150, margin: 2, ends: [-limit, limit], label: "Colours" }}
    fill={(share) => `rgb(${weightRgb(limit * (2 * share - 1), limit).join(", ")})`}
  />
);
