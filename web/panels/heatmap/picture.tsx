// The heat map's layers, which are drawn when the run or the selection changes, but never while scrubbing, and the heat
// map as a picture and as a table. The tokens have their own canvas, so that they stay visible when units are scrolled.

import { type HeatLayout, type Scene, SLANT } from "studio/panels/heatmap/layout.js";
import { range } from "studio/state/ranges.js";
import { quantityWidth, shortToken, trackOf, trackTitle, valueAt } from "studio/state/run.js";
import type { Model, Run, View } from "studio/types.js";
import { Legend } from "studio/ui/legend.js";
import type { Ends } from "studio/ui/line.js";
import { colours, level, valueImage } from "studio/ui/scales.js";
import { Text } from "studio/ui/stage.js";
import { fontFamily, measure, resolved } from "studio/ui/theme.js";

export const LONGEST_TOKEN = 12;
const SIZE = "11px";
const MOST_MEASURED = 200; // the dates of a longer series are alike

/** @param ends of the scale */
export function drawHeat(context: CanvasRenderingContext2D, scene: Scene, ends: Ends) {
  const { layout } = scene;
  const { left, pitch, steps, pinned, order } = layout;
  context.clearRect(0, 0, layout.width, layout.height);
  context.imageSmoothingEnabled = pitch < 1;
  const draw = (units: number[], top: number, high: number) =>
    context.drawImage(image(scene, units, ends), left, top, pitch * steps, units.length * high);
  if (pinned.length > 0) draw(pinned, layout.top, layout.pinHeight);
  draw(order, layout.mapTop, layout.rowHeight);
  drawUnits(context, layout);
}

/** Values that a trace did not record have the colour of the low end. */
function image({ track, quantity, layout: { steps: T } }: Scene, units: readonly number[], ends: Ends) {
  const [values, width] = [track.values[quantity], quantityWidth(track.info, quantity)];
  const at = (k: number) => values[(k % T) * width + units[Math.floor(k / T)]];
  return valueImage(T, units.length, (k) => (Number.isNaN(at(k)) ? ends[0] : at(k)), quantity, ends);
}

export function drawTokens(context: CanvasRenderingContext2D, layout: HeatLayout, tokens: readonly string[]) {
  context.clearRect(0, 0, layout.width, layout.top);
  context.font = `${SIZE} ${fontFamily("--sans")}`;
  context.fillStyle = resolved("--ink");
  tokens.forEach((token, t) => {
    if (t % layout.every !== 0) return;
    context.save();
    context.translate(layout.left + (t + 0.5) * layout.pitch, layout.top - 6);
    if (layout.slanted) context.rotate((SLANT * Math.PI) / 180);
    context.textAlign = layout.slanted ? "left" : "center";
    context.fillText(shortToken(token, LONGEST_TOKEN), 0, layout.slanted ? 4 : 0);
    context.restore();
  });
}

function drawUnits(context: CanvasRenderingContext2D, layout: HeatLayout) {
  context.font = `${SIZE} ${fontFamily("--sans")}`;
  context.textAlign = "right";
  context.fillStyle = resolved("--ink");
  layout.pinned.forEach((unit, k) =>
    context.fillText(`${unit}`, layout.left - 8, layout.top + k * layout.pinHeight + 11.5),
  );
  context.fillStyle = resolved("--ink-soft");
  if (layout.rowHeight < 11) return;
  layout.order.forEach((unit, k) => {
    context.fillText(`${unit}`, layout.left - 8, layout.mapTop + (k + 0.5) * layout.rowHeight + 4);
  });
}

/** @returns the width of the longest in pixels */
export function longestToken(tokens: readonly string[]): number {
  const measured = measure(`${SIZE} ${fontFamily("--sans")}`);
  const every = tokens.length > 10 * MOST_MEASURED ? Math.ceil(tokens.length / MOST_MEASURED) : 1;
  const some = every > 1 ? tokens.filter((_, t) => t % every === 0) : tokens;
  return some.reduce((most, token) => Math.max(most, measured(shortToken(token, LONGEST_TOKEN))), 8);
}

const HEAD = 26;
const FOOT = 34;

export function HeatPicture({ model, ...scene }: Scene & { model: Model }) {
  const { run, track, quantity, layout } = scene;
  const twoWays = model.tracks.some(({ reverse }) => reverse);
  const height = layout.height + HEAD + FOOT;
  return (
    <svg class="heat-picture" width={layout.width} height={height} viewBox={`0 0 ${layout.width} ${height}`}>
      <text x={8} y={18} class="picture-title">
        {`${quantity}, ${model.meanings[quantity]}: ${trackTitle(track.info, twoWays)} of ${model.name}`}
      </text>
      <g transform={`translate(0 ${HEAD})`}>
        <Cells scene={scene} units={layout.pinned} top={layout.top} high={layout.pinHeight} />
        <Cells scene={scene} units={layout.order} top={layout.mapTop} high={layout.rowHeight} />
        {layout.pinned.map((unit, k) => (
          <Text
            {...{ x: layout.left - 8, y: layout.top + k * layout.pinHeight + 11.5, text: unit }}
            {...{ kind: "picture-label", anchor: "end" }}
          />
        ))}
        {run.tokens.map((token, t) => {
          const [x, y] = [layout.left + (t + 0.5) * layout.pitch, layout.top - 6];
          return (
            t % layout.every === 0 && (
              <Text
                {...{ x, y, kind: "picture-label", text: shortToken(token, LONGEST_TOKEN) }}
                {...(layout.slanted ? { transform: `rotate(${SLANT} ${x} ${y})` } : { anchor: "middle" as const })}
              />
            )
          );
        })}
      </g>
      <svg x={layout.left - 8} y={layout.height + HEAD + 8}>
        <Legend quantity={quantity} run={run} />
      </svg>
    </svg>
  );
}

/** One path for each colour, with all cells of that colour. */
function Cells(props: { scene: Scene; units: readonly number[]; top: number; high: number }) {
  const { scene, units, top, high } = props;
  const { track, quantity, layout } = scene;
  const ends = range(quantity);
  const paths: Map<number, string> = new Map();
  const short = (value: number) => Number(value.toFixed(2));
  const [wide, tall] = [short(layout.pitch), short(high)];
  units.forEach((unit, row) => {
    for (let t = 0; t < layout.steps; t += 1) {
      const key = level(valueAt(track, quantity, unit, t), ends);
      const [x, y] = [short(layout.left + t * layout.pitch), short(top + row * high)];
      paths.set(key, `${paths.get(key) ?? ""}M${x} ${y}h${wide}v${tall}h-${wide}z`);
    }
  });
  const table = colours(quantity);
  return (
    <>
      {[...paths].map(([key, d]) => (
        <path d={d} fill={`rgb(${table.slice(key * 3, key * 3 + 3).join(", ")})`} />
      ))}
    </>
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
