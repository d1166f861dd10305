// A few weights around the pointer, enlarged, with their numbers.

import { weightAt } from "studio/panels/structure/layout.js";
import { inkOver, rgbOf } from "studio/panels/structure/scale.js";
import { canvas, resize } from "studio/ui/draw.js";
import { fontOf, resolved } from "studio/ui/theme.js";

/** @typedef {import("studio/panels/structure/layout.js").Spot} Spot */

const CELL = { width: 56, height: 24 };
const ROWS = { beside: 17, below: 9 };
const MOST_COLUMNS = 9;
const NAMES = 76;

/**
 * @param {readonly string[]} gates
 */
export function lens(gates) {
  const { canvas: root, context } = canvas(NAMES + CELL.width * 5, CELL.height, { class: "st-lens", "aria-hidden": "true" });
  let columns = 5,
    rows = ROWS.below,
    pen = context;
  const fit = (/** @type {number} */ width, /** @type {boolean} */ beside) => {
    rows = beside ? ROWS.beside : ROWS.below;
    columns = Math.max(3, Math.min(MOST_COLUMNS, Math.floor((width - NAMES) / CELL.width)));
    pen = resize(root, NAMES + CELL.width * columns, CELL.height * (rows + 1));
  };
  const draw = (/** @type {Spot} */ spot, /** @type {number} */ limit) => {
    pen.fillStyle = resolved("--surface");
    pen.fillRect(0, 0, NAMES + CELL.width * columns, CELL.height * (rows + 1));
    drawCells(pen, spot, { wide: columns, tall: rows }, limit, gates);
  };
  return { root, fit, draw };
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Spot} spot
 * @param {{wide: number, tall: number}} most
 * @param {number} limit
 * @param {readonly string[]} gates
 */
function drawCells(pen, { placed: { matrix }, row, column }, most, limit, gates) {
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

/**
 * @param {number} at
 * @param {number} shown
 * @param {number} all
 * @returns {number} the first that is shown
 */
function begin(at, shown, all) {
  return Math.max(0, Math.min(at - Math.floor(shown / 2), all - shown));
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {number} value
 * @param {number} x
 * @param {number} y
 * @param {number} limit
 */
function cell(pen, value, x, y, limit) {
  pen.fillStyle = `rgb(${rgbOf(value, limit).join(",")})`;
  pen.fillRect(x + 0.5, y + 0.5, CELL.width - 1, CELL.height - 1);
  pen.fillStyle = inkOver(value, limit);
  pen.font = `11px ${fontOf("--mono")}`;
  pen.textAlign = "center";
  pen.fillText(value.toFixed(4), x + CELL.width / 2, y + CELL.height / 2);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {import("studio/panels/structure/layout.js").Matrix} matrix
 * @param {readonly string[]} gates
 * @param {number} row
 * @param {number} y
 */
function nameRow(pen, matrix, gates, row, y) {
  const { gate, unit } = weightAt(matrix, gates, row, 0);
  pen.fillStyle = gate ? resolved(`--q-${gate}`) : resolved("--ink-soft");
  pen.font = `11px ${fontOf("--mono")}`;
  pen.textAlign = "right";
  pen.fillText(`${matrix.short}${gate ?? ""}[${unit}]`, NAMES - 6, y);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {import("studio/panels/structure/layout.js").Matrix} matrix
 * @param {number} left
 * @param {number} wide
 */
function nameColumns(pen, matrix, left, wide) {
  if (matrix.vector) return;
  pen.fillStyle = resolved("--ink-soft");
  pen.textAlign = "center";
  for (let c = 0; c < wide; c++) pen.fillText(String(left + c), NAMES + (c + 0.5) * CELL.width, CELL.height / 2);
}
