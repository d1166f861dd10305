// One unit's chart: the gates above, the candidate and the states below, and the numbers at the cursor.

import { frame, words } from "studio/panels/lines/axes.js";
import { type Band, bands, RIGHT, TOKENS_HEIGHT, TOP, xOf, yOf } from "studio/panels/lines/layout.js";
import { stepName } from "studio/state/tokens.js";
import { valueAt, widthOf } from "studio/state/units.js";
import type { Model, Run, Track } from "studio/types.js";
import { label, set, svg } from "studio/ui/draw.js";
import { quantityColour } from "studio/ui/scales.js";

interface ChartOf {
  model: Model;
  run: Run;
  track: Track;
  unit: number;
  width: number;
  tokens: boolean; // whether to show them below
  reach: number; // the largest memory on the scale
}

export type Chart = { root: SVGSVGElement; show: (step: number) => void; height: number };

const ROW = 17; // height of a line of the numbers on the right

export function createChart(given: ChartOf): Chart {
  const { model, run, track, unit, width, tokens, reach } = given;
  const all = bands(model, reach);
  const last = all.at(-1) as Band;
  const bottom = last.top + last.height;
  const height = bottom + (tokens ? TOKENS_HEIGHT : 10);
  const cursor = svg("line", { y1: TOP, y2: bottom, class: "cursor" });
  const dots = all.flatMap(({ names }) => names.filter((name) => has(track, name, unit)).map((name) => dot(name)));
  const numbers = all.flatMap((band) => band.names.map((name, k) => number(name, band, k, width)));
  const root = svg("svg", { class: "lines-chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }, [
    label(0, TOP + 11, "lines-unit", "start", `unit ${unit}`),
    ...all.flatMap((band) => [...frame(band, width), ...band.names.map((name) => line(given, band, name))]),
    cursor,
    ...dots.map(({ root: circle }) => circle),
    ...numbers.map(({ root: group }) => group),
    ...(tokens ? words(run, width, bottom) : []),
  ]);
  const show = (step: number) => {
    const x = xOf(step, width, run.steps);
    set(cursor, "x1", x);
    set(cursor, "x2", x);
    for (const { name, root: circle } of dots) {
      const band = all.find(({ names }) => names.includes(name)) as Band;
      set(circle, "cx", x);
      set(circle, "cy", yOf(valueAt(track, name, unit, step), band));
    }
    for (const { name, write } of numbers) write(valueAt(track, name, unit, step));
    set(root, "aria-label", spoken(given, step));
  };
  return { root, show, height };
}

function has(track: Track, name: string, unit: number) {
  return unit < widthOf(track.info, name);
}

function line({ run, track, unit, width }: ChartOf, band: Band, name: string) {
  const points = !has(track, name, unit)
    ? []
    : run.tokens.map(
        (_, t) => `${xOf(t, width, run.steps).toFixed(1)},${yOf(valueAt(track, name, unit, t), band).toFixed(1)}`,
      );
  return svg("polyline", { points: points.join(" "), class: "lines-line", stroke: quantityColour(name) });
}

function dot(name: string) {
  return { name, root: svg("circle", { r: 3.2, class: "lines-dot", fill: quantityColour(name) }) };
}

function number(name: string, { top, height, names }: Band, k: number, width: number) {
  const y = top + height / 2 + (k - (names.length - 1) / 2) * ROW + 4;
  const value = label(width - 2, y, "lines-number", "end");
  const letter = label(width - RIGHT + 14, y, "lines-letter", "start", name);
  letter.style.fill = quantityColour(name);
  const write = (given: number) => (value.textContent = Number.isFinite(given) ? given.toFixed(4) : "\u2013");
  return { name, root: svg("g", {}, [letter, value]), write };
}

function spoken({ model, run, track, unit }: ChartOf, step: number) {
  const values = model.quantities.map((name) => `${name} ${valueAt(track, name, unit, step).toFixed(2)}`);
  return `Unit ${unit} of ${track.info.name} at ${stepName(run, step)}: ${values.join(", ")}`;
}
