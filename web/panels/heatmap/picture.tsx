// The cells, tokens and units of the heat map, which are drawn when the run or the selection changes, but never while
// scrubbing, and the heat map as a picture and as a table.

import { type HeatLayout, LONGEST_TOKEN, type Scene, SLANT } from "studio/panels/heatmap/layout.js";
import { range } from "studio/state/ranges.js";
import { quantityWidth, shortToken, trackOf, trackTitle, valueAt } from "studio/state/run.js";
import type { Model, Run, View } from "studio/types.js";
import { Legend } from "studio/ui/legend.js";
import type { Ends } from "studio/ui/line.js";
import { valueImage } from "studio/ui/scales.js";
import { Text } from "studio/ui/stage.js";

const LEGIBLE = 11; // least height of a row with a number

/** @param ends of the scale */
export function drawCells(context: CanvasRenderingContext2D, scene: Scene, ends: Ends) {
  const { width, height, left, pitch, steps } = scene.layout;
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = pitch < 1;
  for (const { units, top, high } of parts(scene.layout)) {
    if (units.length > 0) context.drawImage(image(scene, units, ends), left, top, pitch * steps, units.length * high);
  }
}

/** The rows of pinned units, and those of all. */
const parts = ({ pinned, top, pinHeight, order, mapTop, rowHeight }: HeatLayout) => [
  { units: pinned, top, high: pinHeight },
  { units: order, top: mapTop, high: rowHeight },
];

/** Values that a trace did not record have the colour of the low end. */
function image({ track, quantity, layout: { steps: T } }: Scene, units: readonly number[], ends: Ends) {
  const [values, width] = [track.values[quantity], quantityWidth(track.info, quantity)];
  const at = (k: number) => values[(k % T) * width + units[Math.floor(k / T)]];
  return valueImage(T, units.length, (k) => (Number.isNaN(at(k)) ? ends[0] : at(k)), quantity, ends);
}

export const TokenNames = ({ layout, tokens }: { layout: HeatLayout; tokens: readonly string[] }) => (
  <>
    {tokens.map((token, t) => {
      const [x, y] = [layout.left + (t + 0.5) * layout.pitch, layout.top - (layout.slanted ? 3 : 6)];
      const placed = layout.slanted ? { transform: `rotate(${SLANT} ${x} ${y})` } : { anchor: "middle" as const };
      return (
        t % layout.every === 0 && (
          <Text {...{ x, y, kind: "picture-label", text: shortToken(token, LONGEST_TOKEN), ...placed }} />
        )
      );
    })}
  </>
);

/** The numbers of the rows that are high enough. */
export const UnitNames = ({ layout }: { layout: HeatLayout }) => (
  <>
    {parts(layout).map(({ units, top, high }) =>
      units.map(
        (unit, k) =>
          high >= LEGIBLE && (
            <Text x={layout.left - 8} y={top + (k + 0.5) * high + 4} kind="picture-label" anchor="end" text={unit} />
          ),
      ),
    )}
  </>
);

const HEAD = 26;
const FOOT = 34;

export function HeatPicture({ model, ...scene }: Scene & { model: Model }) {
  const { run, track, quantity, layout } = scene;
  const ends = range(quantity);
  const twoWays = model.tracks.some(({ reverse }) => reverse);
  const height = layout.height + HEAD + FOOT;
  return (
    <svg class="heat-picture" width={layout.width} height={height} viewBox={`0 0 ${layout.width} ${height}`}>
      <text x={8} y={18} class="picture-title">
        {`${quantity}, ${model.meanings[quantity]}: ${trackTitle(track.info, twoWays)} of ${model.name}`}
      </text>
      <g transform={`translate(0 ${HEAD})`}>
        {parts(layout).map(({ units, top, high }) => (
          <image
            {...{ x: layout.left, y: top, width: layout.pitch * layout.steps, height: units.length * high }}
            {...{ class: "points", preserveAspectRatio: "none", href: image(scene, units, ends).toDataURL() }}
          />
        ))}
        <UnitNames layout={layout} />
        <TokenNames layout={layout} tokens={run.tokens} />
      </g>
      <svg x={layout.left - 8} y={layout.height + HEAD + 8}>
        <Legend quantity={quantity} run={run} />
      </svg>
    </svg>
  );
}

export function heatRows(run: Run, { track: name, quantity }: View): string[][] {
  const track = trackOf(run, name);
  const heading = [`${name}.${quantity} unit`, ...run.tokens.map((token, t) => `${t} ${token}`)];
  const rows = Array.from({ length: quantityWidth(track.info, quantity) }, (_, unit) => [
    String(unit),
    ...run.tokens.map((__, t) => String(valueAt(track, quantity, unit, t))),
  ]);
  return [heading, ...rows];
}
