// A table as a picture, for use in documents.

import { svg } from "studio/ui/draw.js";
import { fontFamily, measure } from "studio/ui/theme.js";

const ROW = 20;
const GAP = 18;
const SIZE = 12;
const MOST_ROWS = 500;

/** @param rows the first is the heading; the others are cut to the number that a picture can hold */
export function tablePicture(rows: string[][]): SVGSVGElement {
  const shown = rows.slice(0, MOST_ROWS + 1);
  const columns = pictureColumns(shown);
  const last = columns.at(-1);
  const [width, height] = [(last ? last.left + last.width : 0) + GAP, shown.length * ROW + 10];
  const lines = shown.map((_, k) => {
    const y = k * ROW + ROW + 1.5;
    return svg("line", { x1: GAP / 2, x2: width - GAP / 2, y1: y, y2: y, class: k === 0 ? "axis" : "axis-row" });
  });
  const cells = shown.flatMap((row, k) => row.map((text, c) => cell(text, k, columns[c])));
  return svg("svg", { class: "table-picture", width, height, viewBox: `0 0 ${width} ${height}` }, [...lines, ...cells]);
}

type TableColumn = { left: number; width: number; number: boolean };

function pictureColumns(rows: string[][]): TableColumn[] {
  const measured = measure(`600 ${SIZE}px ${fontFamily("--sans")}`);
  let left = GAP;
  return (rows[0] ?? []).map((_, c) => {
    const width = Math.ceil(Math.max(...rows.map((row) => measured(row[c]))));
    const number = rows.length > 1 && rows.slice(1).every((row) => row[c] !== "" && !Number.isNaN(Number(row[c])));
    const column = { left, width, number };
    left += width + GAP;
    return column;
  });
}

function cell(text: string, row: number, { left, width, number }: TableColumn) {
  const [x, anchor] = number ? [left + width, "end"] : [left, "start"];
  return svg("text", {
    x,
    y: row * ROW + 15,
    class: row === 0 ? "table-head" : "table-cell",
    "text-anchor": anchor,
    text,
  });
}
