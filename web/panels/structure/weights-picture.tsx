// The matrices as a vector graphic: the points as an image, everything else as lines and text.

import { type Placed, type Weights, columnsText } from "studio/panels/structure/layout.js";
import { pointImage, READABLE, STRIP } from "studio/panels/structure/matrix.js";
import { inkOver, weightRgb } from "studio/panels/structure/scale.js";
import { tick } from "studio/ui/draw.js";

const HEAD = 30;
const FOOT = 34;
const BAR = { width: 150, height: 8 };
const STEPS = 61;

export function WeightsPicture(weights: Weights) {
  const { model, track, figure, scale } = weights;
  const [width, height] = [figure.width, figure.height + HEAD + FOOT];
  return (
    <svg class="weights-picture" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      <text x={8} y={18} class="picture-title">
        {`Weights of ${track.name} in ${model.name}`}
      </text>
      <g transform={`translate(0 ${HEAD})`}>
        {figure.placed.map((placed) => (
          <PlacedMatrix {...{ placed, weights }} />
        ))}
      </g>
      <svg x={8} y={figure.height + HEAD + 4}>
        <ColourBar limit={scale.limit} />
      </svg>
    </svg>
  );
}

function PlacedMatrix({ placed, weights }: { placed: Placed; weights: Weights }) {
  const { matrix, x, y, width, height, cellWidth, cellHeight } = placed;
  const { model, track, figure, scale } = weights;
  const { vector: isSlim, parameter, rows, columns, bands, short, values } = matrix;
  const title = isSlim ? { x: x + width / 2 - 10, "text-anchor": "middle" as const } : { x };
  const band = height / bands;
  return (
    <>
      <image
        {...{ x, y, width, height, preserveAspectRatio: "none", class: "weights-points" }}
        href={pointImage(matrix, figure.block, scale.limit).toDataURL()}
      />
      <rect x={x - 0.5} y={y - 0.5} width={width + 1} height={height + 1} class="weights-frame" />
      {cellWidth >= READABLE &&
        Array.from(values, (value, k) => (
          <text
            {...{ x: x + ((k % columns) + 0.5) * cellWidth, y: y + (Math.floor(k / columns) + 0.5) * cellHeight + 3.5 }}
            {...{ class: "weights-number", fill: inkOver(value, scale.limit) }}
          >
            {value.toFixed(2)}
          </text>
        ))}
      {Array.from({ length: bands }, (_, k) => {
        const [gate, top] = [bands === 1 ? "" : model.gates[k], y + k * band];
        const style = { fill: gate ? `var(--q-${gate})` : "var(--ink-soft)" };
        return (
          <>
            <rect x={x - STRIP - 4} y={top + 1} width={STRIP} height={band - 2} style={style} />
            <text x={x - STRIP - 9} y={top + band / 2 + 4} class="weights-gate" style={style}>
              {short + gate}
            </text>
            {k > 0 && <rect x={x} y={top - 0.5} width={width} height={1} class="weights-gap" />}
          </>
        );
      })}
      <text {...title} y={y - 22} class="weights-name">
        {isSlim ? parameter.split("_l")[0] : parameter}
      </text>
      <text {...title} y={y - 8} class="weights-shape">
        {isSlim ? rows : `${rows}×${columns}`}
      </text>
      <text x={x} y={y + height + 16} class="picture-label">
        {columnsText(model, track, matrix)}
      </text>
    </>
  );
}

/** The colour scale of the weights. */
export function ColourBar({ limit }: { limit: number }) {
  return (
    <svg
      {...{ width: BAR.width + 4, height: 24, viewBox: `-2 0 ${BAR.width + 4} 24`, role: "img" }}
      aria-label={`Colours from ${-limit} to ${limit}`}
    >
      {Array.from({ length: STEPS }, (_, k) => (
        <rect
          {...{ x: (k * BAR.width) / STEPS, width: BAR.width / STEPS + 0.5, height: BAR.height }}
          fill={`rgb(${weightRgb(limit * ((2 * k) / (STEPS - 1) - 1), limit).join(", ")})`}
        />
      ))}
      {[-limit, 0, limit].map((value, k) => (
        <text x={(k * BAR.width) / 2} y={21} text-anchor={(["start", "middle", "end"] as const)[k]} class="legend-tick">
          {tick(value)}
        </text>
      ))}
    </svg>
  );
}
