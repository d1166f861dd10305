// The rows of a sum, with a bar for each term. Each bar starts where the previous one ended, so the last one ends at
// the sum.

import type { ReadonlySignal } from "@preact/signals";
import { flowColour } from "studio/panels/microscope/pipes.js";
import type { Term } from "studio/panels/microscope/terms.js";
import type { Numbers } from "studio/panels/microscope/types.js";
import { format } from "studio/ui/draw.js";
import { factor } from "studio/ui/moment-words.js";
import { Press, Text } from "studio/ui/stage.js";

const ROW = 17;
const BAR = 10;
const TOP = 18;
const WIDE = 520; // minimum width for the two factors to fit beside the name
const [FACTORS, VALUE] = [104, 62]; // room for numbers, which are right-aligned

/** x of each column in pixels */
type Columns = { factors: number | null; value: number; from: number; to: number };

function columnsFor(width: number): Columns {
  if (width < WIDE) return { factors: null, value: 228, from: 236, to: width - 2 };
  return { factors: 294, value: 360, from: 376, to: width - 2 };
}

/** The room for the input's name. */
function nameRoom({ factors, value }: Columns): number {
  return (factors ? factors - FACTORS : value - VALUE) - 4;
}

export function sumHeight(terms: readonly Term[]): number {
  return TOP + (terms.length + 1) * ROW;
}

/** The partial sums before and after each term, and their range; returns at0 at1 ... low high. */
export function runningSums(terms: readonly Term[]): Numbers {
  let sum = 0;
  const stops = [0, ...terms.map((term) => (sum += term.value))];
  const named = Object.fromEntries(stops.map((value, k) => [`at${k}`, value]));
  return { ...named, low: Math.min(...stops), high: Math.max(...stops) };
}

/** `whole`: the name of the sum itself; `follow`: goes to a term's source */
export function SumRows(props: {
  terms: readonly Term[];
  sum: number;
  whole: string;
  width: number;
  numbers: ReadonlySignal<Numbers>;
  follow: (term: Term) => void;
}) {
  const { terms, sum, whole, width, numbers, follow } = props;
  const columns = columnsFor(width);
  const { factors, value, from, to } = columns;
  const last: Term = { kind: "sum", name: whole, index: -1, weight: null, factor: null, value: sum };
  return (
    <>
      <Text x={0} y={12} kind="hs-head" room={nameRoom(columns)}>
        the inputs
      </Text>
      <Text x={value} y={12} kind="hs-head" anchor="end" room={VALUE}>
        adds
      </Text>
      <Text x={from} y={12} kind="hs-head" room={to - from}>
        from 0 to the sum
      </Text>
      {factors && (
        <Text x={factors} y={12} kind="hs-head" anchor="end" room={FACTORS}>
          weight·value
        </Text>
      )}
      <g transform={`translate(0 ${TOP})`}>
        <ZeroLine {...{ numbers, columns, count: terms.length + 1 }} />
        {terms.map((term, k) => (
          <Press
            kind={`hs-row hs-row-${term.kind}`}
            label={`${term.name} adds ${format(term.value)}. Press to go to its source`}
            press={() => follow(term)}
          >
            <Row {...{ term, k, columns, numbers, ends: [`at${k}`, `at${k + 1}`] }} />
          </Press>
        ))}
        <g class="hs-row hs-row-sum">
          <Row {...{ term: last, k: terms.length, columns, numbers, ends: ["at0", `at${terms.length}`] }} />
        </g>
      </g>
    </>
  );
}

/** @param props.ends the names of the numbers between which the bar is */
function Row(props: {
  term: Term;
  k: number;
  columns: Columns;
  numbers: ReadonlySignal<Numbers>;
  ends: [string, string];
}) {
  const { term, k, columns } = props;
  const y = k * ROW;
  return (
    <>
      <rect x={-4} y={y} width={columns.to + 6} height={ROW} rx={3} class="hs-row-back" />
      <Bar {...props} />
      <Text x={0} y={y + 12} kind="hs-term" room={nameRoom(columns)}>
        {term.name}
      </Text>
      <Text x={columns.value} y={y + 12} kind="hs-term" anchor="end" room={VALUE}>
        {format(term.value)}
      </Text>
      {columns.factors && (
        <Text x={columns.factors} y={y + 12} kind="hs-term hs-soft" anchor="end" room={FACTORS}>
          {term.weight !== null && `${format(term.weight)}·${factor(Number(term.factor))}`}
        </Text>
      )}
    </>
  );
}

/** The x of a value between the least and the largest partial sum. */
function scaled({ from, to }: Columns, { low, high }: Numbers, value: number): number {
  return from + ((to - from) * (value - low)) / (high - low || 1);
}

function Bar({ k, columns, numbers: { value: now }, ends }: Parameters<typeof Row>[0]) {
  const y = k * ROW;
  const [a, b] = ends.map((name) => scaled(columns, now, now[name]));
  return (
    <>
      <line x1={b} x2={b} y1={y + ROW - 3.5} y2={y + ROW + 3.5} class="hs-thread" />
      <rect
        {...{ x: Math.min(a, b), y: y + (ROW - BAR) / 2, width: Math.max(0.75, Math.abs(b - a)), height: BAR, rx: 1.5 }}
        fill={flowColour("c", now[ends[1]] - now[ends[0]])}
      />
    </>
  );
}

function ZeroLine({ numbers, columns, count }: { numbers: ReadonlySignal<Numbers>; columns: Columns; count: number }) {
  const x = scaled(columns, numbers.value, 0);
  return <line x1={x} x2={x} y1={-4} y2={count * ROW + 2} class="hs-axis" />;
}
