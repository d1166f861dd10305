// Draws the matrices, with a point for each weight or block of weights, and the names of the gates beside their bands.

import type { Figure, Matrix, Placed } from "studio/panels/structure/layout.js";
import { inkOver, weightRgb } from "studio/panels/structure/scale.js";
import { pixelMap } from "studio/ui/draw.js";
import { fontFamily, resolved } from "studio/ui/theme.js";

export const READABLE = 34; // minimum pixels of a cell for its number to fit inside
export const STRIP = 4;

/** `limit`: of the colours; `below`: the text under a matrix */
export function drawFigure(
  context: CanvasRenderingContext2D,
  figure: Figure,
  gates: readonly string[],
  limit: number,
  below: (matrix: Matrix) => string,
) {
  context.fillStyle = resolved("--surface");
  context.fillRect(0, 0, figure.width, figure.height);
  for (const placed of figure.placed) {
    drawPoints(context, placed, figure.block, limit);
    if (placed.cellWidth >= READABLE) drawNumbers(context, placed, limit);
    drawBands(context, placed, gates);
    drawTitle(context, placed, below(placed.matrix));
  }
}

function drawPoints(
  context: CanvasRenderingContext2D,
  { matrix, x, y, width, height }: Placed,
  block: number,
  limit: number,
) {
  context.imageSmoothingEnabled = false;
  context.drawImage(pointImage(matrix, block, limit), x, y, width, height);
  context.strokeStyle = resolved("--line-strong");
  context.lineWidth = 1;
  context.strokeRect(x - 0.5, y - 0.5, width + 1, height + 1);
}

/** A pixel for each weight or block of weights. */
export function pointImage(matrix: Matrix, block: number, limit: number): HTMLCanvasElement {
  const points = farthest(matrix, block, matrix.vector ? 1 : block);
  return pixelMap(points.columns, points.rows, (data) =>
    points.values.forEach((value, k) => data.set([...weightRgb(value, limit), 255], 4 * k)),
  );
}

/** The weight farthest from 0 in each block. Blocks never cross a gate boundary. */
export function farthest(
  { values, rows, columns, bands }: Matrix,
  down: number,
  across: number,
): { values: Float32Array; rows: number; columns: number } {
  if (down === 1 && across === 1) return { values, rows, columns };
  const H = rows / bands,
    tall = Math.ceil(H / down),
    wide = Math.ceil(columns / across);
  const out = new Float32Array(bands * tall * wide);
  for (let row = 0; row < rows; row++) {
    const to = (Math.floor(row / H) * tall + Math.floor((row % H) / down)) * wide;
    for (let column = 0; column < columns; column++) {
      const at = to + Math.floor(column / across),
        value = values[row * columns + column];
      if (Math.abs(value) > Math.abs(out[at])) out[at] = value;
    }
  }
  return { values: out, rows: bands * tall, columns: wide };
}

function drawNumbers(
  context: CanvasRenderingContext2D,
  { matrix, x, y, cellWidth, cellHeight }: Placed,
  limit: number,
) {
  context.font = `10px ${fontFamily("--mono")}`;
  [context.textAlign, context.textBaseline] = ["center", "middle"];
  matrix.values.forEach((value, k) => {
    const row = Math.floor(k / matrix.columns),
      column = k % matrix.columns;
    context.fillStyle = inkOver(value, limit);
    context.fillText(value.toFixed(2), x + (column + 0.5) * cellWidth, y + (row + 0.5) * cellHeight);
  });
}

function drawBands(
  context: CanvasRenderingContext2D,
  { matrix, x, y, width, height }: Placed,
  gates: readonly string[],
) {
  const band = height / matrix.bands;
  [context.textAlign, context.textBaseline] = ["right", "middle"];
  for (let k = 0; k < matrix.bands; k++) {
    const gate = matrix.bands === 1 ? "" : gates[k];
    context.fillStyle = gate ? resolved(`--q-${gate}`) : resolved("--ink-soft");
    context.fillRect(x - STRIP - 4, y + k * band + 1, STRIP, band - 2);
    context.font = `italic 600 13px ${fontFamily("--font")}`;
    context.fillText(matrix.short + gate, x - STRIP - 9, y + (k + 0.5) * band);
    if (k === 0) continue;
    context.fillStyle = resolved("--surface");
    context.fillRect(x, y + k * band - 0.5, width, 1);
  }
}

function drawTitle(context: CanvasRenderingContext2D, { matrix, x, y, width, height }: Placed, below: string) {
  const slim = matrix.vector;
  const shape = slim ? `${matrix.rows}` : `${matrix.rows}×${matrix.columns}`;
  [context.textAlign, context.textBaseline] = slim ? ["center", "alphabetic"] : ["left", "alphabetic"];
  const at = slim ? x + width / 2 - 10 : x;
  context.fillStyle = resolved("--ink");
  context.font = `600 11px ${fontFamily("--mono")}`;
  context.fillText(slim ? matrix.parameter.split("_l")[0] : matrix.parameter, at, y - 22);
  context.fillStyle = resolved("--ink-soft");
  context.font = `11px ${fontFamily("--mono")}`;
  context.fillText(shape, at, y - 8);
  context.font = `11px ${fontFamily("--sans")}`;
  context.textAlign = "left";
  context.fillText(below, x, y + height + 16);
}
