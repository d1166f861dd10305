// Bars over words: rows of numbers with a column for each word. Columns can be chosen with the pointer or the keyboard.

import { svg, tick } from "studio/ui/draw.js";
import { fit, text } from "studio/ui/svg-parts.js";

export interface ChartRow {
  title: string;
  values: ArrayLike<number>; // one for each column; NaN draws nothing
  scale?: string; // rows with the same name share a scale; without one, a row has its own
}

interface ChartColumn {
  word: string;
  label: string; // for screen readers
}

export interface Chart {
  root: SVGSVGElement;
  show: (rows: ChartRow[]) => void; // replaces the rows; their number stays the same
  mark: (chosen: number, asked: number) => void; // the chosen column, and the one being explained; -1: none
}

const BAR = 58; // height of a row's bars
const TITLE = 20;
const NUMBER = 12;
const WORDS = 26;
const LARGEST = 132; // maximum width of a column
const WIDE = 76; // enough for any word, if long ones are squeezed

/** @param doings called when a column is chosen, or pointed at */
export function wordChart(
  { columns, rows, width, label }: { columns: ChartColumn[]; rows: ChartRow[]; width: number; label: string },
  { choose, point }: { choose: (k: number) => void; point: (k: number | null) => void },
): Chart {
  const column = columnWidth(
    columns.map(({ word }) => word),
    width - 4,
  );
  const height = WORDS + rows.length * (TITLE + BAR + 2 * NUMBER) + 4;
  const total = Math.max(column * columns.length + 2, Math.min(width, 320));
  const root = svg("svg", { class: "word-chart", width: total, height, viewBox: `0 0 ${total} ${height}` });
  const hits = columns.map(({ label: name }, k) => hit(k, column, height, name));
  const words = columns.map(({ word }, k) =>
    text(k * column + column / 2, 17, "word-chart-word", "middle", word, column - 6),
  );
  const drawn = svg("g");
  const titles = svg("g", { class: "stays" });
  root.append(svg("g", { role: "group", "aria-label": label }, hits), ...words, drawn, titles);
  listen(root, hits, choose, point);
  const show = (now: ChartRow[]) => {
    const scales = scalesOf(now);
    const top = (r: number) => WORDS + r * (TITLE + BAR + 2 * NUMBER);
    drawn.replaceChildren(...now.flatMap((row, r) => rowOf(row, top(r), column, scales[r])));
    const room = Math.min(Math.max(width, 260), total) - 4;
    titles.replaceChildren(
      ...now.map(({ title }, r) => text(2, top(r) + 14, "word-chart-title", "start", title, room)),
    );
    if (root.isConnected) fit(root);
  };
  show(rows);
  const mark = (chosen: number, asked: number) => {
    hits.forEach((one, k) => {
      one.setAttribute("tabindex", k === Math.max(0, chosen) ? "0" : "-1");
      one.setAttribute("aria-pressed", String(k === chosen));
      one.classList.toggle("asked", k === asked);
      words[k].classList.toggle("asked", k === asked);
    });
  };
  return { root, show, mark };
}

/** The width of equally wide columns: wide enough for their words, so not all columns may be visible at once. */
export function columnWidth(words: string[], width: number): number {
  const longest = words.reduce((most, word) => Math.max(most, word.length), 0);
  const least = Math.min(WIDE, Math.max(30, 6.5 * longest + 6));
  return Math.max(least, Math.min(LARGEST, Math.floor(width / Math.max(1, words.length))));
}

/** @returns the largest value of each row's scale */
function scalesOf(rows: ChartRow[]): number[] {
  const largest = rows.map(({ values }) =>
    Array.from(values).reduce((most, one) => Math.max(most, Math.abs(one) || 0), 0),
  );
  return rows.map(({ scale }, r) =>
    scale === undefined ? largest[r] : Math.max(...largest.filter((_, k) => rows[k].scale === scale)),
  );
}

function hit(k: number, column: number, height: number, label: string) {
  return svg("rect", {
    ...{ x: k * column + 1, y: 1, width: column - 2, height: height - 2, rx: 4, class: "word-chart-hit" },
    ...{ role: "button", tabindex: "-1", "aria-label": label, "data-column": k },
  });
}

function rowOf({ values }: ChartRow, top: number, column: number, largest: number): SVGElement[] {
  const numbers = Array.from(values);
  const [up, down] = [numbers.some((one) => one > 0), numbers.some((one) => one < 0)];
  const room = up && down ? BAR / 2 : BAR;
  const zero = top + TITLE + NUMBER + (up || !down ? room : 0);
  const line = svg("line", { x1: 0, x2: column * numbers.length, y1: zero, y2: zero, class: "word-chart-zero" });
  const bars = numbers.flatMap((value, k) => (Number.isNaN(value) ? [] : bar(value, k, column, zero, room, largest)));
  return [line, ...bars];
}

function bar(value: number, k: number, column: number, zero: number, room: number, largest: number): SVGElement[] {
  const size = largest > 0 ? (Math.abs(value) / largest) * room : 0;
  const wide = Math.min(column - 12, 40);
  const [x, y] = [k * column + (column - wide) / 2, value < 0 ? zero : zero - size];
  const drawn = svg("rect", { x, y, width: wide, height: Math.max(size, 0.5), class: value < 0 ? "against" : "for" });
  const at = value < 0 ? zero + size + 10 : zero - size - 3;
  return [drawn, text(k * column + column / 2, at, "word-chart-number", "middle", signed(value), column - 4)];
}

/** Formats a signed number with two decimals, without a sign if it rounds to zero. */
export function signed(value: number): string {
  const written = value.toFixed(2);
  if (Number(written) === 0) return "0";
  return tick(value > 0 ? `+${written}` : written);
}

function listen(
  root: SVGSVGElement,
  hits: SVGElement[],
  choose: (k: number) => void,
  point: (k: number | null) => void,
) {
  const columnOf = ({ target }: Event) => hits.indexOf(target as SVGElement);
  const moves: Record<string, (k: number) => number> = {
    ArrowLeft: (k) => k - 1,
    ArrowRight: (k) => k + 1,
    Home: () => 0,
    End: () => hits.length - 1,
  };
  root.addEventListener("pointerover", (event) => columnOf(event) >= 0 && point(columnOf(event)));
  root.addEventListener("pointerleave", () => point(null));
  root.addEventListener("focusin", (event) => columnOf(event) >= 0 && point(columnOf(event)));
  root.addEventListener("focusout", () => point(null));
  root.addEventListener("click", (event) => columnOf(event) >= 0 && choose(columnOf(event)));
  root.addEventListener("keydown", (event) => {
    const k = columnOf(event);
    if (k < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") choose(k);
    else if (moves[event.key]) hits[Math.max(0, Math.min(hits.length - 1, moves[event.key](k)))].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
