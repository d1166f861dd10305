// A map of coloured cells, rows by columns, such as what each patch or each input does to the target.

import { tick } from "studio/ui/draw.js";
import { colour } from "studio/ui/scales.js";
import { Grid, Text } from "studio/ui/stage.js";

const [WORDS, ROW, LEGEND] = [26, 26, 26];
const SAYS = 304; // the width of the legend
const [NARROW, LABEL] = [30, 76]; // columns as narrow as this share a word, of this width

/** The room for a sum, on the right of its row. */
export const SUM = 60;

export interface CellMapProps {
  columns: { word: string; kind?: string }[];
  rows: string[];
  left: number; // room for their names
  sums?: string[]; // numbers on the right of the rows
  values: Float64Array; // [rows, columns]
  name: (n: number) => string; // of a cell, for screen readers
  label: string;
  column: number; // width
  width: number;
  press?: (n: number) => void; // called with the number of the pressed cell, as `point` is with the one pointed at
  point?: (n: number | null) => void;
}

export function CellMap(props: CellMapProps) {
  const { columns, rows, left, sums, values, name, label, column, width, press = () => {}, point } = props;
  const T = columns.length;
  const [right, bottom] = [left + T * column, WORDS + rows.length * ROW];
  const total = Math.max(right + (sums ? SUM : 2), 260);
  const shown = Math.min(total, Math.max(width, 260));
  const legend = Math.max(0, Math.min(left, shown - SAYS));
  const most = Math.abs(values[strongest(values)] ?? 0);
  const every = column < NARROW ? Math.ceil(LABEL / column) : 1;
  return (
    <svg class="patch-map" width={total} height={bottom + LEGEND} viewBox={`0 0 ${total} ${bottom + LEGEND}`}>
      {columns.map(
        ({ word, kind = "" }, t) =>
          (T - 1 - t) % every === 0 && (
            <Text
              {...{ x: left + (t + (every > 1 ? 1 : 0.5)) * column, y: 17, kind: `word${kind}` }}
              {...{ anchor: every > 1 ? "end" : "middle", room: every > 1 ? LABEL - 2 : column - 4 }}
            >
              {word}
            </Text>
          ),
      )}
      <Grid label={label} columns={T} current={strongest(values)} press={press} point={point}>
        {Array.from(values, (value, n) => (
          <rect
            {...{ x: left + (n % T) * column, y: WORDS + Math.floor(n / T) * ROW, width: column, height: ROW }}
            {...{ class: "cell", role: "button", "data-cell": n, fill: colour("h", value, [-most || -1, most || 1]) }}
            aria-label={name(n)}
          />
        ))}
      </Grid>
      {sums?.map((sum, r) => (
        <Text
          x={right + SUM - 4}
          y={WORDS + r * ROW + ROW / 2 + 4}
          kind="row-name"
          anchor="end"
          room={SUM - 6}
          text={sum}
        />
      ))}
      <g class="stays">
        <rect x={0} y={WORDS} width={left} height={rows.length * ROW} class="names-back" />
        {rows.map((row, r) => (
          <Text x={left - 6} y={WORDS + r * ROW + ROW / 2 + 4} kind="row-name" anchor="end" room={left - 8}>
            {row}
          </Text>
        ))}
        <Text x={legend} y={bottom + 18} kind="patch-legend" room={shown - legend}>
          {`orange raises, blue lowers, by up to ${tick(most.toPrecision(4))}`}
        </Text>
      </g>
    </svg>
  );
}

/** The place of the value furthest from zero. */
export const strongest = (values: Float64Array): number =>
  values.reduce((best, value, n) => (Math.abs(value) > Math.abs(values[best]) ? n : best), 0);
