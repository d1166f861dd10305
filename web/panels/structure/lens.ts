// A few weights around the pointer, enlarged, with their numbers.

import { type Matrix, type Spot, weightAt } from "studio/panels/structure/layout.js";
import { inkOver, weightRgb } from "studio/panels/structure/scale.js";
import { fontFamily, resolved } from "studio/ui/theme.js";

const CELL = { width: 56, height: 24 };
const ROWS = { beside: 17, below: 9 };
const MOST_COLUMNS = 9;
const NAMES = 76;

type Size = { width: number; height: number; columns: number; rows: number };

/** The size of a lens beside or below the matrices, in pixels and in weights. */
export function lensSize(width: number, isBeside: boolean): Size {
  const rows = isBeside ? ROWS.beside : ROWS.below;
  const columns = Math.max(3, Math.min(MOST_COLUMNS, Math.floor((width - NAMES) / CELL.width)));
  return { width: NAMES + CELL.width * columns, height: CELL.height * (rows + 1), columns, rows };
}

/** @param limit of the colours */
export function drawLens(
  pen: CanvasRenderingContext2D,
  { width, height, columns, rows }: Size,
  spot: Spot,
  limit: number,
  gates: readonly string[],
) {
  pen.fillStyle = resolved("--surface");
  pen.fillRect(0, 0, width, height);
  drawCells(pen, spot, { wide: columns, tall: rows }, limit, gates);
}

function drawCells(
  pen: CanvasRenderingContext2D,
  { placed: { matrix }, row, column }: Spot,
  most: { wide: number; tall: number },
  limit: number,
  gates: readonly string[],
) {
  const wide = Math.min(most.wide, matrix.columns),
    tall = Math.min(most.tall, matrix.rows);
  const left = begin(column, wide, matrix.columns),
    top = begin(row, tall, matrix.rows);
  pen.textBaseline = "middle";
  for (let r = 0; r < tall; r++) {
    nameRow(pen, matrix, gates, top + r, (r + 1.5) * CELL.height);
    for (let c = 0; c < wide; c++) {
      const value = matrix.values[(top + r) * matrix.columns + left + c];
      cell(pen, value, NAMES + c * CELL.width, (r + 1) * CELL.height, limit);
    }
  }
  nameColumns(pen, matrix, left, wide);
  pen.strokeStyle = resolved("--cursor");
  pen.lineWidth = 2;
  pen.strokeRect(
    NAMES + (column - left) * CELL.width + 1,
    (row - top + 1) * CELL.height + 1,
    CELL.width - 2,
    CELL.height - 2,
  );
}

/** @returns the first that is shown */
function begin(at: number, shown: number, all: number): number {
  return Math.max(0, Math.min(at - Math.floor(shown / 2), all - shown));
}

function cell(pen: CanvasRenderingContext2D, value: number, x: number, y: number, limit: number) {
  pen.fillStyle = `rgb(${weightRgb(value, limit).join(",")})`;
  pen.fillRect(x + 0.5, y + 0.5, CELL.width - 1, CELL.height - 1);
  pen.fillStyle = inkOver(value, limit);
  pen.font = `11px ${fontFamily("--mono")}`;
  pen.textAlign = "center";
  pen.fillText(value.toFixed(4), x + CELL.width / 2, y + CELL.height / 2);
}

function nameRow(pen: CanvasRenderingContext2D, matrix: Matrix, gates: readonly string[], row: number, y: number) {
  const { gate, unit } = weightAt(matrix, gates, row, 0);
  pen.fillStyle = gate ? resolved(`--q-${gate}`) : resolved("--ink-soft");
  pen.font = `11px ${fontFamily("--mono")}`;
  pen.textAlign = "right";
  pen.fillText(`${matrix.short}${gate ?? ""}[${unit}]`, NAMES - 6, y);
}

function nameColumns(pen: CanvasRenderingContext2D, matrix: Matrix, left: number, wide: number) {
  if (matrix.vector) return;
  pen.fillStyle = resolved("--ink-soft");
  pen.textAlign = "center";
  for (let c = 0; c < wide; c++) pen.fillText(String(left + c), NAMES + (c + 0.5) * CELL.width, CELL.height / 2);
}
