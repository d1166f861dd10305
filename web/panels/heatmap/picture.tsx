// The heat map as a vector graphic, and as a table.

import { LONGEST_TOKEN } from "studio/panels/heatmap/canvas.js";
import { type Scene, SLANT } from "studio/panels/heatmap/layout.js";
import { range } from "studio/state/ranges.js";
import { quantityWidth, shortToken, trackOf, trackTitle, valueAt } from "studio/state/run.js";
import type { Model, Run, View } from "studio/types.js";
import { Legend } from "studio/ui/legend.js";
import { colours, level } from "studio/ui/scales.js";
import { Text } from "studio/ui/stage.js";

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
