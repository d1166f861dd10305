// The figure of the compare page: words, heat maps, their difference and the ribbons, all over the same columns.

import type { ReadonlySignal } from "@preact/signals";
import { type Layout, figureLayout } from "studio/panels/compare/layout.js";
import { differenceMap, paint, valueMap } from "studio/panels/compare/maps.js";
import { RibbonTitle, Ribbons, RowLabel } from "studio/panels/compare/ribbons.js";
import type { Scene } from "studio/panels/compare/scene.js";
import { choiceText, findHead, predictionAt } from "studio/state/predictions.js";
import { shownToken } from "studio/state/tokens.js";
import { useApp } from "studio/ui/app.js";
import { resize } from "studio/ui/draw.js";
import { Canvas } from "studio/ui/stage.js";

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
        <AtCursor {...{ scene, layout, at }} />
        {scene.strips.length > 0 && <RibbonTitle {...{ scene, layout }} />}
      </svg>
    </div>
  );
}

/** The figure as a single picture, with the maps beneath the drawing. */
export function FigurePicture({ scene, width, unit }: { scene: Scene; width: number; unit: number }) {
  const layout = figureLayout(scene, width);
  const { total, height } = layout;
  const maps = document.createElement("canvas");
  paintMaps(resize(maps, total, height), scene, layout);
  return (
    <svg class="compare-drawing" width={total} height={height} viewBox={`0 0 ${total} ${height}`}>
      <image href={maps.toDataURL()} width={total} height={height} />
      <Drawing {...{ scene, layout }} />
      <UnitMarks {...{ scene, layout, unit }} />
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
  if (one && two && comparable)
    paint(context, differenceMap(one, two), { ...box, y: layout.difference, height: layout.mapHeightA });
}

/** All lines and text. */
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
  const { run } = pair[side];
  const [mine, theirs] = [findHead(run, head), findHead(pair[opposite].run, head)];
  return (
    <>
      {columns.map((column, k) => {
        const [t, other, x] = [column[side], column[opposite], layout.centre(k)];
        if (t < 0) {
          return (
            <text class="word none" x={x} y={top + 15}>
              –
            </text>
          );
        }
        const token = shownToken(run.tokens[t]);
        const prediction = mine && predictionAt(mine, t);
        const isChanged = theirs && other >= 0 && predictionAt(theirs, other).label !== prediction?.label;
        return (
          <>
            <text class="word" x={x} y={top + 15}>
              {layout.fitted(token, "word")}
              <title>{token}</title>
            </text>
            {prediction && (
              <text class={isChanged ? "tag changed" : "tag"} x={x} y={top + 31}>
                {layout.fitted(choiceText(prediction), "tag")}
              </text>
            )}
          </>
        );
      })}
    </>
  );
}

/** What moves with the cursor and the unit. */
function AtCursor({ scene, layout, at }: Drawn & { at: ReadonlySignal<number> }) {
  const { unit } = useApp().view;
  const x = layout.left + at.value * layout.column;
  return (
    <>
      <UnitMarks {...{ scene, layout, unit }} />
      <rect class="cursor" x={x} y={0} width={layout.column} height={layout.height} rx={3} />
    </>
  );
}

function UnitMarks({ scene: { a, b, comparable }, layout, unit }: Drawn & { unit: number }) {
  const maps = [
    { track: a, top: layout.mapA, height: layout.mapHeightA },
    { track: b, top: layout.mapB, height: layout.mapHeightB },
    { track: comparable ? a : undefined, top: layout.difference, height: layout.mapHeightA },
  ];
  return (
    <>
      {maps.map(({ track, top, height }) => {
        const units = track?.info.units ?? 0;
        if (unit >= units) return null;
        const row = height / Math.max(1, units);
        const thick = Math.max(2, row);
        const y = top + (unit + 0.5) * row - thick / 2;
        return <rect class="unit" x={layout.left} y={y} width={layout.total - layout.left} height={thick} />;
      })}
    </>
  );
}
