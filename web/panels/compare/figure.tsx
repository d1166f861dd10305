// The figure of the compare page: words, heat maps, their difference and, for each layer and direction, a ribbon.

import type { ReadonlySignal } from "@preact/signals";
import type { Layout, Scene, Strip } from "studio/panels/compare/scene.js";
import { figureLayout, GUTTER, RIBBON, RIBBON_HEAD } from "studio/panels/compare/scene.js";
import { nextRound, range } from "studio/state/ranges.js";
import { choiceText, findHead, predictionAt, quantityWidth, shownToken } from "studio/state/run.js";
import { forecastText } from "studio/state/series.js";
import type { Track } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { resize } from "studio/ui/draw.js";
import { valueImage } from "studio/ui/scales.js";
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

/** Draws the values of A and of B, and their difference; columns without a value are grey. */
function paintMaps(context: CanvasRenderingContext2D, { a, b, quantity, other, columns }: Scene, layout: Layout) {
  context.clearRect(0, 0, layout.total, layout.height);
  const valuesOf = (side: "a" | "b", track: Track | undefined, name: string | null) => (unit: number, k: number) => {
    const [t, values] = [columns[k][side], track && name && track.values[name]];
    return track && name && values && t >= 0 ? values[t * quantityWidth(track.info, name) + unit] : NaN;
  };
  const [one, two] = [valuesOf("a", a, quantity), valuesOf("b", b, other)];
  const bound = Math.max(...range(quantity).map(Math.abs));
  const maps: [(unit: number, k: number) => number, string, ReturnType<typeof range>][] = [
    [one, quantity, range(quantity)],
    [two, other ?? "", range(other ?? "")],
    [(unit, k) => two(unit, k) - one(unit, k), "h", [-bound, bound]],
  ];
  layout.maps.forEach(({ track, top, height }, n) => {
    const [at, name, ends] = maps[n];
    if (!track || name === "") return;
    const units = quantityWidth(track.info, n === 1 ? name : quantity);
    context.fillStyle = resolved("--line");
    context.fillRect(layout.left, top, layout.total - layout.left, height);
    const K = columns.length;
    context.imageSmoothingEnabled = units > height * (window.devicePixelRatio || 1);
    const image = valueImage(K, units, (k) => at(Math.floor(k / K), k % K), name, ends);
    context.drawImage(image, layout.left, top, layout.total - layout.left, height);
  });
}

function Drawing({ scene, layout }: Drawn) {
  const { pair, strips, comparable, quantity, other } = scene;
  const names =
    pair.a.name === "before"
      ? ["before", "after", "change"]
      : [`${quantity} of A`, other === null ? `no ${quantity} in B` : `${other} of B`, "B − A"];
  return (
    <>
      <RowLabel words={pair.a.name} y={layout.wordsA + 15} kind="side a" />
      <RowLabel words={pair.b.name} y={layout.wordsB + 15} kind="side b" />
      {names.slice(0, comparable ? 3 : 2).map((words, k) => (
        <RowLabel words={words} y={layout.maps[k].top + 11} />
      ))}
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

const FLAT = 0.25; // the part of a column on either side of its middle in which strands are level
const TOGETHER = 1.25; // half the gap between equal strands, so that both are visible

export const RowLabel = ({ words, y, kind = "" }: { words: string; y: number; kind?: string }) => (
  <text class={`row-label ${kind}`} x={GUTTER - 10} y={y} text-anchor="end">
    {words.length > 8 ? `${words.slice(0, 7)}…` : words}
    <title>{words}</title>
  </text>
);

export const RibbonTitle = ({ scene: { strips, state }, layout }: { scene: Scene; layout: Layout }) => (
  <Text x={layout.left} y={layout.ribbons + 13} kind="ribbon-title" room={layout.total - layout.left}>
    {`distance in ${state}, ‖Δ${state}‖: a gap of full height is ${fullGap(strips)}`}
  </Text>
);

export function Ribbons({ scene: { strips, a }, layout }: { scene: Scene; layout: Layout }) {
  const scale = (RIBBON - 10) / fullGap(strips); // pixels for a distance of 1
  const height = RIBBON - 6;
  return (
    <>
      {strips.map((strip, k) => {
        const y = layout.ribbons + RIBBON_HEAD + k * RIBBON;
        const chosen = strip.name === a?.info.name ? " chosen" : "";
        return (
          <g class={`ribbon${chosen}`} data-track={strip.name}>
            <rect class="band" x={layout.left} y={y} width={layout.total - layout.left} height={height} rx={3} />
            <Strands {...{ strip, layout, scale, middle: y + height / 2 }} />
            <Marks {...{ strip, layout, scale, y, height }} />
            <RowLabel words={`${strip.name} ${strip.reverse ? "◂" : "▸"}`} y={y + RIBBON / 2} kind={chosen.trim()} />
          </g>
        );
      })}
    </>
  );
}

/** Two lines as far apart as the runs, over the columns that both have. */
function Strands({ strip, layout, scale, middle }: { strip: Strip; layout: Layout; scale: number; middle: number }) {
  const shared = Array.from(strip.distance.keys()).filter((k) => !Number.isNaN(strip.distance[k]));
  const [up, down] = [-1, 1].map((way) =>
    shared.flatMap((k) => {
      const y = middle + way * (TOGETHER + (strip.distance[k] * scale) / 2);
      return [-FLAT, FLAT].map((part) => `${layout.centre(k) + part * layout.column} ${y}`);
    }),
  );
  return (
    <>
      <path class="between" d={`M${[...up, ...down.toReversed()].join("L")}Z`} />
      <path class="strand a" d={`M${up.join("L")}`} />
      <path class="strand b" d={`M${down.join("L")}`} />
    </>
  );
}

/**
 * Where the runs diverge, are furthest apart and converge. The greatest distance is labelled between the strands if
 * there is room; other labels are at the column's edge.
 */
function Marks(props: { strip: Strip; layout: Layout; scale: number; y: number; height: number }) {
  const { strip, layout, scale, y, height } = props;
  const { distance, reverse, parting } = strip;
  const { first, widest, meets } = parting;
  if (first < 0) return null;
  const isRoomy = distance[widest] * scale > 18;
  const edge = (k: number, kind: string, words: string) => (
    <text
      {...{ class: `ribbon-mark ${kind}`, y: y + height - 4, "text-anchor": reverse ? "end" : "start" }}
      x={layout.centre(k) + (reverse ? 1 : -1) * (layout.column / 2 - 5)}
    >
      {words}
    </text>
  );
  return (
    <>
      <text class="ribbon-mark" x={layout.centre(widest)} y={isRoomy ? y + height / 2 + 4 : y + 11}>
        {distance[widest].toFixed(2)}
      </text>
      {edge(first, "first", reverse ? "part ◂" : "▸ part")}
      {meets >= 0 && meets !== widest && edge(meets, "meets", "meet")}
    </>
  );
}

/** The greatest distance, rounded up. */
function fullGap(strips: Strip[]): number {
  const sizes = strips.flatMap(({ distance }) => Array.from(distance).filter((size) => !Number.isNaN(size)));
  return nextRound(0.999 * Math.max(0.1, ...sizes));
}
