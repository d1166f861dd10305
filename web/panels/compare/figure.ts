// The figure of the compare page: words, heat maps, their difference and the ribbons, all over the same columns.

import { type Layout, layoutOf } from "studio/panels/compare/layout.js";
import { pictureDifference, paint, pictureOf } from "studio/panels/compare/maps.js";
import { rowLabel, ribbons, ribbonTitle } from "studio/panels/compare/strips.js";
import type { Scene } from "studio/panels/compare/types.js";
import { choiceText, headOf, predictionAt } from "studio/state/predictions.js";
import { shownToken } from "studio/state/tokens.js";
import type { Track } from "studio/types.js";
import { canvas, element, svg } from "studio/ui/draw.js";

export function createFigure(scene: Scene) {
  const layout = layoutOf(scene);
  const maps = paintMaps(scene, layout);
  const cursor = svg("rect", { class: "cursor", y: 0, width: layout.column, height: layout.height, rx: 3 });
  const units = [layout.mapA, layout.mapB, layout.difference].map(() =>
    svg("rect", { class: "unit", x: layout.left, width: layout.total - layout.left }),
  );
  const drawn = svg(
    "svg",
    {
      class: "compare-drawing",
      width: layout.total,
      height: layout.height,
      viewBox: `0 0 ${layout.total} ${layout.height}`,
    },
    [...drawing(scene, layout), ...units, cursor, ...(scene.strips.length ? [ribbonTitle(scene, layout)] : [])],
  );
  const root = element(
    "div",
    { class: "compare-figure", style: { width: `${layout.total}px`, height: `${layout.height}px` } },
    [maps, drawn],
  );
  return {
    root,
    layout,
    mark(k: number, unit: number) {
      cursor.setAttribute("x", String(layout.left + k * layout.column));
      markUnit(units, scene, layout, unit);
    },
    /** The figure as a single picture. */
    picture: () => pictureFile(drawn, maps, layout),
  };
}

function paintMaps({ a, b, comparable, quantity, other, columns }: Scene, layout: Layout): HTMLCanvasElement {
  const made = canvas(layout.total, layout.height, { "aria-hidden": "true" });
  const box = { x: layout.left, width: layout.total - layout.left };
  const [one, two] = [a && pictureOf(a, quantity, columns, "a"), b && other && pictureOf(b, other, columns, "b")];
  if (one) paint(made.context, one, { ...box, y: layout.mapA, height: layout.mapHeightA });
  if (two) paint(made.context, two, { ...box, y: layout.mapB, height: layout.mapHeightB });
  if (one && two && comparable)
    paint(made.context, pictureDifference(one, two), { ...box, y: layout.difference, height: layout.mapHeightA });
  return made.canvas;
}

/** All lines and text. */
function drawing(scene: Scene, layout: Layout): SVGElement[] {
  const { pair, strips, comparable, quantity, other } = scene;
  const [mapA, mapB, difference] =
    pair.a.name === "before"
      ? ["before", "after", "change"]
      : [`${quantity} of A`, other === null ? `no ${quantity} in B` : `${other} of B`, "B − A"];
  const labels = [
    rowLabel(pair.a.name, layout.wordsA + 15, "side a"),
    rowLabel(mapA, layout.mapA + 11),
    rowLabel(pair.b.name, layout.wordsB + 15, "side b"),
    rowLabel(mapB, layout.mapB + 11),
    ...(comparable ? [rowLabel(difference, layout.difference + 11)] : []),
  ];
  return [
    ...labels,
    ...wordRow(scene, layout, "a"),
    ...wordRow(scene, layout, "b"),
    ...(strips.length ? ribbons(scene, layout) : []),
  ];
}

function wordRow({ pair, columns, head }: Scene, layout: Layout, side: "a" | "b"): SVGElement[] {
  const { run } = pair[side];
  const [mine, theirs] = [headOf(run, head), headOf(pair[side === "a" ? "b" : "a"].run, head)];
  const top = side === "a" ? layout.wordsA : layout.wordsB;
  return columns.flatMap((column, k) => {
    const t = column[side];
    const other = column[side === "a" ? "b" : "a"];
    if (t < 0) return [svg("text", { class: "word none", x: layout.centre(k), y: top + 15, text: "–" })];
    const word = svg(
      "text",
      { class: "word", x: layout.centre(k), y: top + 15, text: layout.fitted(shownToken(run.tokens[t]), "word") },
      [svg("title", { text: shownToken(run.tokens[t]) })],
    );
    if (!mine) return [word];
    const prediction = predictionAt(mine, t);
    const changed = theirs !== null && other >= 0 && predictionAt(theirs, other).label !== prediction.label;
    return [
      word,
      svg("text", {
        class: changed ? "tag changed" : "tag",
        x: layout.centre(k),
        y: top + 31,
        text: layout.fitted(choiceText(prediction), "tag"),
      }),
    ];
  });
}

function markUnit(lines: SVGElement[], { a, b, comparable }: Scene, layout: Layout, unit: number) {
  const maps = [
    [a, layout.mapA, layout.mapHeightA],
    [b, layout.mapB, layout.mapHeightB],
    [comparable ? a : undefined, layout.difference, layout.mapHeightA],
  ];
  maps.forEach(([track, top, height], k) => {
    const units = (track as Track | undefined)?.info.units ?? 0;
    const row = Number(height) / Math.max(1, units);
    const thick = Math.max(2, row);
    lines[k].setAttribute("visibility", unit < units ? "visible" : "hidden");
    lines[k].setAttribute("y", String(Number(top) + (unit + 0.5) * row - thick / 2));
    lines[k].setAttribute("height", String(thick));
  });
}

/** The drawing with the maps beneath it. */
function pictureFile(drawn: SVGSVGElement, maps: HTMLCanvasElement, layout: Layout): SVGSVGElement {
  const copy = drawn.cloneNode(true) as SVGSVGElement;
  copy.querySelector(".cursor")?.remove();
  copy.prepend(svg("image", { href: maps.toDataURL(), width: layout.total, height: layout.height }));
  return copy;
}
