// The figure of the compare page: words, heat maps, their difference and the ribbons, all over the same columns.

import type { ReadonlySignal } from "@preact/signals";
import { type Layout, figureLayout } from "studio/panels/compare/layout.js";
import { RibbonTitle, Ribbons, RowLabel } from "studio/panels/compare/ribbons.js";
import type { Column, Scene } from "studio/panels/compare/scene.js";
import { choiceText, findHead, predictionAt } from "studio/state/predictions.js";
import { range } from "studio/state/ranges.js";
import { forecastText } from "studio/state/series.js";
import { shownToken } from "studio/state/tokens.js";
import { quantityWidth } from "studio/state/units.js";
import type { Track } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { pixelMap, resize } from "studio/ui/draw.js";
import { colours, level } from "studio/ui/scales.js";
import { Canvas, Text } from "studio/ui/stage.js";
import { resolved } from "studio/ui/theme.js";

interface Drawn {
  scene: Scene;
  layout: Layout;
}

/** @param props.at the column under the cursor */
export function Figure({ scene, layout, at }: Drawn & { at: ReadonlySignal<number> }) {
  const { total: width, height } = layout;
  return (
    <div class="compare-figure" style={{ width: `${width}px`, height: `${height}px` }}>
      <Canvas width={width} height={height} draw={(context) => paintMaps(context, scene, layout)} />
      <svg class="compare-drawing" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
        <Drawing {...{ scene, layout }} />
        <AtCursor {...{ layout, at }} />
        {scene.strips.length > 0 && <RibbonTitle {...{ scene, layout }} />}
      </svg>
    </div>
  );
}

export function FigurePicture({ scene, width, unit }: { scene: Scene; width: number; unit: number }) {
  const layout = figureLayout(scene, width);
  const { total, height } = layout;
  const maps = document.createElement("canvas");
  paintMaps(resize(maps, total, height), scene, layout);
  return (
    <svg class="compare-drawing" width={total} height={height} viewBox={`0 0 ${total} ${height}`}>
      <image href={maps.toDataURL()} width={total} height={height} />
      <Drawing {...{ scene, layout }} />
      <UnitMarks {...{ layout, unit }} />
      {scene.strips.length > 0 && <RibbonTitle {...{ scene, layout }} />}
    </svg>
  );
}

function paintMaps(
  context: CanvasRenderingContext2D,
  { a, b, comparable, quantity, other, columns }: Scene,
  layout: Layout,
) {
  context.clearRect(0, 0, layout.total, layout.height);
  const box = { x: layout.left, width: layout.total - layout.left };
  const [one, two] = [a && valueMap(a, quantity, columns, "a"), b && other && valueMap(b, other, columns, "b")];
  if (one) paint(context, one, { ...box, y: layout.mapA, height: layout.mapHeightA });
  if (two) paint(context, two, { ...box, y: layout.mapB, height: layout.mapHeightB });
  if (!one || !two || !comparable) return;
  const bound = Math.max(...one.ends.map(Math.abs));
  const difference = (unit: number, k: number) => two.at(unit, k) - one.at(unit, k);
  const map: ValueMap = { ...one, ends: [-bound, bound], table: colours("h"), at: difference };
  paint(context, map, { ...box, y: layout.difference, height: layout.mapHeightA });
}

function Drawing({ scene, layout }: Drawn) {
  const { pair, strips, comparable, quantity, other } = scene;
  const [mapA, mapB, difference] =
    pair.a.name === "before"
      ? ["before", "after", "change"]
      : [`${quantity} of A`, other === null ? `no ${quantity} in B` : `${other} of B`, "B − A"];
  return (
    <>
      <RowLabel words={pair.a.name} y={layout.wordsA + 15} kind="side a" />
      <RowLabel words={mapA} y={layout.mapA + 11} />
      <RowLabel words={pair.b.name} y={layout.wordsB + 15} kind="side b" />
      <RowLabel words={mapB} y={layout.mapB + 11} />
      {comparable && <RowLabel words={difference} y={layout.difference + 11} />}
      <WordRow {...{ scene, layout, side: "a", top: layout.wordsA }} />
      <WordRow {...{ scene, layout, side: "b", top: layout.wordsB }} />
      {strips.length > 0 && <Ribbons {...{ scene, layout }} />}
    </>
  );
}

function WordRow({ scene, layout, side, top }: Drawn & { side: "a" | "b"; top: number }) {
  const { pair, columns, head } = scene;
  const opposite = side === "a" ? "b" : "a";
  const { run, model } = pair[side];
  const [mine, theirs] = [findHead(run, head), findHead(pair[opposite].run, head)];
  return (
    <>
      {columns.map((column, k) => {
        const [t, other, x] = [column[side], column[opposite], layout.centre(k)];
        if (t < 0) {
          return <Text kind="word none" x={x} y={top + 15} text="–" />;
        }
        const token = shownToken(run.tokens[t]);
        const prediction = mine && predictionAt(mine, t);
        const said = prediction ? layout.fitted(choiceText(prediction), "tag") : forecastText(model, run, t);
        const isChanged = theirs && other >= 0 && predictionAt(theirs, other).label !== prediction?.label;
        return (
          <>
            <text class="word" x={x} y={top + 15}>
              {layout.fitted(token, "word")}
              <title>{token}</title>
            </text>
            {said !== "" && <Text kind={isChanged ? "tag changed" : "tag"} x={x} y={top + 31} text={said} />}
          </>
        );
      })}
    </>
  );
}

function AtCursor({ layout, at }: { layout: Layout; at: ReadonlySignal<number> }) {
  const { unit } = useApp().view;
  const x = layout.left + at.value * layout.column;
  return (
    <>
      <UnitMarks {...{ layout, unit }} />
      <rect class="cursor" x={x} y={0} width={layout.column} height={layout.height} rx={3} />
    </>
  );
}

const UnitMarks = ({ layout, unit }: { layout: Layout; unit: number }) => (
  <>
    {layout.maps.map(({ track, top, height }) => {
      const units = track?.info.units ?? 0;
      if (unit >= units) return null;
      const row = height / Math.max(1, units);
      const thick = Math.max(2, row);
      const y = top + (unit + 0.5) * row - thick / 2;
      return <rect class="unit" x={layout.left} y={y} width={layout.total - layout.left} height={thick} />;
    })}
  </>
);

/** The content of a map: a value for each unit and column; NaN if there is none. */
interface ValueMap {
  units: number;
  columns: number;
  ends: [number, number]; // of the scale
  table: Uint8Array; // of its colours
  at: (unit: number, column: number) => number;
}

function valueMap(track: Track, quantity: string, columns: Column[], side: "a" | "b"): ValueMap {
  const units = quantityWidth(track.info, quantity);
  const values = track.values[quantity];
  return {
    units,
    columns: columns.length,
    ends: range(quantity),
    table: colours(quantity),
    at: (unit, k) => (columns[k][side] < 0 ? NaN : values[columns[k][side] * units + unit]),
  };
}

/** A picture with one pixel for each value, transparent if there is none. */
const pixels = ({ units, columns, ends, table, at }: ValueMap): HTMLCanvasElement =>
  pixelMap(columns, units, (data) => {
    for (let unit = 0; unit < units; unit++) {
      for (let k = 0; k < columns; k++) {
        const value = at(unit, k);
        if (Number.isNaN(value)) continue;
        const [from, to] = [level(value, ends) * 3, (unit * columns + k) * 4];
        data.set(table.subarray(from, from + 3), to);
        data[to + 3] = 255;
      }
    }
  });

function paint(
  context: CanvasRenderingContext2D,
  picture: ValueMap,
  box: { x: number; y: number; width: number; height: number },
) {
  context.imageSmoothingEnabled = picture.units > box.height * (window.devicePixelRatio || 1);
  context.fillStyle = resolved("--line");
  const column = box.width / picture.columns;
  for (let k = 0; k < picture.columns; k++) {
    if (Number.isNaN(picture.at(0, k))) hatch(context, box.x + k * column, box.y, column, box.height);
  }
  context.drawImage(pixels(picture), box.x, box.y, box.width, box.height);
}

function hatch(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = resolved("--line");
  context.beginPath();
  for (let at = -height; at < width; at += 7) {
    context.moveTo(x + at, y + height);
    context.lineTo(x + at + height, y);
  }
  context.stroke();
  context.restore();
}
