// Bars over words: rows of numbers with a column for each word. Columns can be chosen with the pointer or the keyboard.

import { tick } from "studio/ui/draw.js";
import { Grid, Text } from "studio/ui/stage.js";

export interface ChartRow {
  title: string;
  values: ArrayLike<number>; // one for each column; NaN draws nothing
  texts?: string[]; // in place of the numbers beside the bars
  scale?: string; // rows with the same name share a scale; without one, a row has its own
}

export interface ChartProps {
  columns: { word: string; label: string }[]; // the label is for screen readers
  rows: ChartRow[];
  width: number;
  label: string;
  chosen?: number; // the chosen column; -1: none
  asked?: number; // the one being explained; -1: none
  press?: (k: number) => void;
  point?: (k: number | null) => void;
}

const BAR = 58; // height of a row's bars
const TITLE = 20;
const NUMBER = 12;
const WORDS = 26;
const ROW = TITLE + BAR + 2 * NUMBER;
const LARGEST = 132; // maximum width of a column
const WIDE = 76; // enough for any word, if long ones are squeezed

export function WordChart(props: ChartProps) {
  const { columns, rows, width, label, chosen = -1, asked = -1, press = () => {}, point } = props;
  const words = columns.map(({ word }) => word);
  const column = columnWidth(words, width - 4);
  const height = WORDS + rows.length * ROW + 4;
  const total = Math.max(column * columns.length + 2, Math.min(width, 320));
  const room = Math.min(Math.max(width, 260), total) - 4;
  const largest = largestValues(rows);
  const mark = (k: number) => (k === asked ? " asked" : "");
  return (
    <svg class="word-chart" width={total} height={height} viewBox={`0 0 ${total} ${height}`}>
      <Grid label={label} current={chosen} press={press} point={point}>
        {columns.map((each, k) => (
          <rect
            {...{ x: k * column + 1, y: 1, width: column - 2, height: height - 2, rx: 4 }}
            class={`word-chart-hit${mark(k)}`}
            role="button"
            data-cell={k}
            aria-label={each.label}
            aria-pressed={k === chosen}
          />
        ))}
      </Grid>
      {columns.map(({ word }, k) => (
        <Text x={k * column + column / 2} y={17} kind={`word-chart-word${mark(k)}`} anchor="middle" room={column - 6}>
          {word}
        </Text>
      ))}
      {rows.map(({ values, texts }, r) => (
        <Bars {...{ values: Array.from(values), texts, top: WORDS + r * ROW, column, largest: largest[r] }} />
      ))}
      <g class="stays">
        {rows.map(({ title }, r) => (
          <Text x={2} y={WORDS + r * ROW + 14} kind="word-chart-title" room={room} text={title} />
        ))}
      </g>
    </svg>
  );
}

/** The width of equally wide columns: wide enough for their words, so not all columns may be visible at once. */
export function columnWidth(words: string[], width: number): number {
  const longest = words.reduce((most, word) => Math.max(most, word.length), 0);
  const least = Math.min(WIDE, Math.max(30, 6.5 * longest + 6));
  return Math.max(least, Math.min(LARGEST, Math.floor(width / Math.max(1, words.length))));
}

/** The largest value on each row's scale. */
function largestValues(rows: ChartRow[]): number[] {
  const largest = rows.map(({ values }) =>
    Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value) || 0), 0),
  );
  return rows.map(({ scale }, r) =>
    scale === undefined ? largest[r] : Math.max(...largest.filter((_, k) => rows[k].scale === scale)),
  );
}

type BarsProps = { values: number[]; texts?: string[]; top: number; column: number; largest: number };

function Bars({ values, texts, top, column, largest }: BarsProps) {
  const [up, down] = [values.some((value) => value > 0), values.some((value) => value < 0)];
  const room = up && down ? BAR / 2 : BAR;
  const zero = top + TITLE + NUMBER + (up || !down ? room : 0);
  const wide = Math.min(column - 12, 40);
  const bar = (value: number, k: number) => {
    if (Number.isNaN(value)) return null;
    const size = largest > 0 ? (Math.abs(value) / largest) * room : 0;
    const middle = k * column + column / 2;
    const box = { x: middle - wide / 2, y: value < 0 ? zero : zero - size, width: wide, height: Math.max(size, 0.5) };
    return (
      <>
        <rect {...box} class={value < 0 ? "against" : "for"} />
        <Text
          {...{ x: middle, y: value < 0 ? zero + size + 10 : zero - size - 3 }}
          {...{ kind: "word-chart-number", anchor: "middle", room: column - 4 }}
        >
          {texts?.[k] ?? signed(value)}
        </Text>
      </>
    );
  };
  return (
    <>
      <line x1={0} x2={column * values.length} y1={zero} y2={zero} class="word-chart-zero" />
      {values.map(bar)}
    </>
  );
}

/** Formats a signed number with two decimals, without a sign if it rounds to zero. */
export function signed(value: number): string {
  const written = value.toFixed(2);
  if (Number(written) === 0) return "0";
  return tick(value > 0 ? `+${written}` : written);
}
