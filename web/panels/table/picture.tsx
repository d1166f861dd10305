// A table as a picture, for use in documents.

import { fontFamily, measure } from "studio/ui/theme.js";

const ROW = 20;
const GAP = 18;
const SIZE = 12;
const MOST_ROWS = 500;

/** @param props.rows the first is the heading; the others are cut to the number that a picture can hold */
export function TablePicture({ rows }: { rows: string[][] }) {
  const shown = rows.slice(0, MOST_ROWS + 1);
  const columns = pictureColumns(shown);
  const last = columns.at(-1);
  const [width, height] = [(last ? last.left + last.width : 0) + GAP, shown.length * ROW + 10];
  return (
    <svg class="table-picture" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      {shown.map((_, k) => {
        const y = k * ROW + ROW + 1.5;
        return <line x1={GAP / 2} x2={width - GAP / 2} y1={y} y2={y} class={k === 0 ? "axis" : "axis-row"} />;
      })}
      {shown.map((row, k) => row.map((text, c) => <Cell {...{ text, row: k, column: columns[c] }} />))}
    </svg>
  );
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

function Cell({ text, row, column }: { text: string; row: number; column: TableColumn }) {
  const { left, width, number } = column;
  const [x, anchor] = number ? [left + width, "end"] : [left, "start"];
  return (
    <text x={x} y={row * ROW + 15} class={row === 0 ? "table-head" : "table-cell"} text-anchor={anchor}>
      {text}
    </text>
  );
}
