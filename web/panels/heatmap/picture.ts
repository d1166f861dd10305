// The heat map as a vector graphic, and as a table.

import { LONGEST_TOKEN } from "studio/panels/heatmap/canvas.js";
import { type HeatLayout, SLANT } from "studio/panels/heatmap/layout.js";
import { range } from "studio/state/ranges.js";
import { shortToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { trackOf, trackTitle, valueAt, widthOf } from "studio/state/units.js";
import type { Track } from "studio/types.js";
import { svg } from "studio/ui/draw.js";
import { colours, legend, level } from "studio/ui/scales.js";

const HEAD = 26;
const FOOT = 34;

/** @returns null if nothing has been read */
export function heatPicture({ session, store }: App, layout: HeatLayout | null): SVGSVGElement | null {
  const { run, model } = session;
  if (run === null || model === null || layout === null) return null;
  const { track: name, quantity } = store.get();
  const track = trackOf(run, name);
  const twoWays = model.tracks.some(({ reverse }) => reverse);
  const title = `${quantity}, ${model.meanings[quantity]}: ${trackTitle(track.info, twoWays)} of ${model.name}`;
  const height = layout.height + HEAD + FOOT;
  const key = legend(quantity, run);
  key.setAttribute("x", String(layout.left - 8));
  key.setAttribute("y", String(layout.height + HEAD + 8));
  return svg("svg", { class: "heat-picture", width: layout.width, height, viewBox: `0 0 ${layout.width} ${height}` }, [
    svg("text", { x: 8, y: 18, class: "picture-title", text: title }),
    svg("g", { transform: `translate(0 ${HEAD})` }, [
      ...cells(track, quantity, layout.pinned, layout, layout.top, layout.pinHeight),
      ...cells(track, quantity, layout.order, layout, layout.mapTop, layout.rowHeight),
      ...names(layout, run.tokens),
    ]),
    key,
  ]);
}

/** One path for each colour, with all cells of that colour. */
function cells(
  track: Track,
  quantity: string,
  units: readonly number[],
  layout: HeatLayout,
  top: number,
  high: number,
) {
  const ends = range(quantity);
  const paths: Map<number, string> = new Map();
  units.forEach((unit, row) => {
    for (let t = 0; t < layout.steps; t += 1) {
      const key = level(valueAt(track, quantity, unit, t), ends);
      const [x, y] = [short(layout.left + t * layout.pitch), short(top + row * high)];
      paths.set(
        key,
        `${paths.get(key) ?? ""}M${x} ${y}h${short(layout.pitch)}v${short(high)}h-${short(layout.pitch)}z`,
      );
    }
  });
  const table = colours(quantity);
  return [...paths].map(([key, d]) => svg("path", { d, fill: `rgb(${table.slice(key * 3, key * 3 + 3).join(", ")})` }));
}

function short(value: number) {
  return Number(value.toFixed(2));
}

function names(layout: HeatLayout, tokens: readonly string[]) {
  const units = layout.pinned.map((unit, k) =>
    svg("text", {
      x: layout.left - 8,
      y: layout.top + k * layout.pinHeight + 11.5,
      class: "picture-label",
      "text-anchor": "end",
      text: unit,
    }),
  );
  const words = tokens.flatMap((token, t) => {
    if (t % layout.every !== 0) return [];
    const [x, y] = [layout.left + (t + 0.5) * layout.pitch, layout.top - 6];
    const turn = layout.slanted ? `rotate(${SLANT} ${x} ${y})` : null;
    const anchor = layout.slanted ? "start" : "middle";
    return svg("text", {
      x,
      y,
      class: "picture-label",
      transform: turn,
      "text-anchor": anchor,
      text: shortToken(token, LONGEST_TOKEN),
    });
  });
  return [...units, ...words];
}

/** A table with a row for each unit and a column for each step. */
export function heatRows({ session, store }: App): string[][] {
  const { run } = session;
  if (run === null) return [];
  const { track: name, quantity } = store.get();
  const track = trackOf(run, name);
  const heading = [`${name}.${quantity} unit`, ...run.tokens.map((token, t) => `${t} ${token}`)];
  const rows = Array.from({ length: widthOf(track.info, quantity) }, (_, unit) => [
    String(unit),
    ...run.tokens.map((__, t) => String(valueAt(track, quantity, unit, t))),
  ]);
  return [heading, ...rows];
}
