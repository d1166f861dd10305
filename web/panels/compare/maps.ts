// Heat maps of two runs on one canvas, with the columns aligned, and a map of their difference.

import type { Column } from "studio/panels/compare/align.js";
import { range } from "studio/state/ranges.js";
import { quantityWidth } from "studio/state/units.js";
import type { Track } from "studio/types.js";
import { colours, level } from "studio/ui/scales.js";
import { resolved } from "studio/ui/theme.js";

/** The content of a map: a value for each unit and column; NaN if there is none. */
interface ValueMap {
  units: number;
  columns: number;
  ends: [number, number]; // of the scale
  table: Uint8Array; // of its colours
  at: (unit: number, column: number) => number;
}

/** One run's values. */
export function valueMap(track: Track, quantity: string, columns: Column[], side: "a" | "b"): ValueMap {
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

/** The second run minus the first, on a scale that is neutral in the middle. */
export function differenceMap(a: ValueMap, b: ValueMap): ValueMap {
  const bound = Math.max(...a.ends.map(Math.abs));
  return { ...a, ends: [-bound, bound], table: colours("h"), at: (unit, k) => b.at(unit, k) - a.at(unit, k) };
}

/** A picture with one pixel for each value, transparent if there is none. */
function pixels({ units, columns, ends, table, at }: ValueMap): HTMLCanvasElement {
  const made = document.createElement("canvas");
  [made.width, made.height] = [columns, units];
  const context = made.getContext("2d") as CanvasRenderingContext2D;
  const image = context.createImageData(columns, units);
  for (let unit = 0; unit < units; unit++) {
    for (let k = 0; k < columns; k++) {
      const value = at(unit, k);
      if (Number.isNaN(value)) continue;
      const [from, to] = [level(value, ends) * 3, (unit * columns + k) * 4];
      image.data.set(table.subarray(from, from + 3), to);
      image.data[to + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return made;
}

/** Paints a picture into a rectangle, and hatches the empty columns. */
export function paint(
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

/** Hatches an area where a run has no step. */
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
