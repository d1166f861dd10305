// The rows of a sum, with a bar for each term. Each bar starts where the previous one ended, so the last one ends at
// the sum.

import { flowColour } from "studio/panels/microscope/pipes.js";
import type { DotProduct, Model, TrackInfo } from "studio/types.js";
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

const nameRoom = ({ factors, value }: Columns): number => (factors ? factors - FACTORS : value - VALUE) - 4;

export const sumHeight = (terms: readonly Term[]): number => TOP + (terms.length + 1) * ROW;

/** `whole`: the name of the sum itself; `follow`: goes to a term's source */
export function SumRows(props: {
  terms: readonly Term[];
  sum: number;
  whole: string;
  width: number;
  follow: (term: Term) => void;
}) {
  const { terms, sum, whole, width, follow } = props;
  const isWide = width >= WIDE;
  const columns: Columns = {
    factors: isWide ? 294 : null,
    value: isWide ? 360 : 228,
    from: isWide ? 376 : 236,
    to: width - 2,
  };
  const { factors, value, from, to } = columns;
  let end = 0;
  const stops = [0, ...terms.map((term) => (end += term.value))]; // the sums before and after each term
  const [low, high] = [Math.min(...stops), Math.max(...stops)];
  const x = (value: number) => from + ((to - from) * (value - low)) / (high - low || 1);
  const last: Term = { kind: "sum", name: whole, index: -1, weight: null, factor: null, value: sum };
  return (
    <>
      <Text x={0} y={12} kind="hs-head" room={nameRoom(columns)} text="the inputs" />
      <Text x={value} y={12} kind="hs-head" anchor="end" room={VALUE} text="adds" />
      <Text x={from} y={12} kind="hs-head" room={to - from} text="from 0 to the sum" />
      {factors && <Text x={factors} y={12} kind="hs-head" anchor="end" room={FACTORS} text="weight·value" />}
      <g transform={`translate(0 ${TOP})`}>
        <line x1={x(0)} x2={x(0)} y1={-4} y2={(terms.length + 1) * ROW + 2} class="hs-axis" />
        {terms.map((term, k) => (
          <Press
            kind={`hs-row hs-row-${term.kind}`}
            label={`${term.name} adds ${format(term.value)}. Press to go to its source`}
            press={() => follow(term)}
          >
            <Row {...{ term, k, columns, ends: [x(stops[k]), x(stops[k + 1])] }} />
          </Press>
        ))}
        <g class="hs-row hs-row-sum">
          <Row {...{ term: last, k: terms.length, columns, ends: [x(0), x(end)] }} />
        </g>
      </g>
    </>
  );
}

/** `ends`: the x between which the bar is */
type RowProps = { term: Term; k: number; columns: Columns; ends: [number, number] };

function Row({ term, k, columns, ends: [a, b] }: RowProps) {
  const y = k * ROW;
  return (
    <>
      <rect x={-4} y={y} width={columns.to + 6} height={ROW} rx={3} class="hs-row-back" />
      <line x1={b} x2={b} y1={y + ROW - 3.5} y2={y + ROW + 3.5} class="hs-thread" />
      <rect
        {...{ x: Math.min(a, b), y: y + (ROW - BAR) / 2, width: Math.max(0.75, Math.abs(b - a)), height: BAR, rx: 1.5 }}
        {...{ class: "hs-moves", fill: flowColour("c", b - a) }}
      />
      <Text x={0} y={y + 12} kind="hs-term" room={nameRoom(columns)} text={term.name} />
      <Text x={columns.value} y={y + 12} kind="hs-term" anchor="end" room={VALUE} text={format(term.value)} />
      {columns.factors && (
        <Text x={columns.factors} y={y + 12} kind="hs-term hs-soft" anchor="end" room={FACTORS}>
          {term.weight !== null && `${format(term.weight)}·${factor(Number(term.factor))}`}
        </Text>
      )}
    </>
  );
}

export interface Term {
  kind: "input" | "hidden" | "rest" | "bias" | "sum";
  name: string; // "W_if[12, 3]·x[3]", "b_if[12]", "and 154 others"
  index: number; // of the input feature or hidden unit; -1 for a rest or a bias
  weight: number | null;
  factor: number | null; // the number multiplied by the weight
  value: number; // what it adds
}

/** The track and unit in the layer below that an input feature comes from; null in the lowest layer. */
export function featureSource(tracks: readonly TrackInfo[], track: TrackInfo, index: number) {
  const below = tracks.filter((one) => one.layer === track.layer - 1);
  if (below.length === 0) return null;
  const { outputs } = below[0];
  return { track: below[Math.floor(index / outputs)].name, unit: index % outputs };
}

/** The largest terms of one side, and all others combined into one. */
function side(dot: DotProduct, kind: "input" | "hidden", name: (index: number) => string, shown: number): Term[] {
  const [weights, factors, scale] =
    kind === "input" ? [dot.inputWeights, dot.input, 1] : [dot.hiddenWeights, dot.hidden, dot.scale];
  const values = Float64Array.from(weights, (weight, index) => scale * weight * factors[index]);
  const order = Uint32Array.from(values.keys()).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  const count = values.length <= shown + 1 ? values.length : shown;
  const terms: Term[] = Array.from(order.subarray(0, count), (index) => ({
    ...{ kind, name: name(index), index, value: values[index] },
    ...{ weight: weights[index], factor: factors[index] },
  }));
  if (count === values.length) return terms;
  const value = order.subarray(count).reduce((sum, index) => sum + values[index], 0);
  const others = `and ${values.length - count} others of ${kind === "input" ? "x" : "h_prev"}`;
  return [...terms, { kind: "rest", name: others, index: -1, weight: null, factor: null, value }];
}

/** `shown`: terms of each side; returns terms that add up to dot.sum */
export function gateTerms(model: Model, track: TrackInfo, unit: number, dot: DotProduct, shown = Infinity): Term[] {
  const { gate, scale, biasInput, biasHidden } = dot;
  const by = model.cell.scales[gate]; // the reset gate of a GRU, which multiplies the recurrent terms
  const r = by === undefined ? "" : `${by}·`;
  const bias = (name: string, value: number): Term => {
    return { kind: "bias", name: `${name}${gate}[${unit}]`, index: -1, weight: null, factor: null, value };
  };
  const hasBiases = model.weights(track.name).bias_ih !== null;
  const inputName = (k: number) => {
    const below = featureSource(model.tracks, track, k);
    return `W_i${gate}[${unit}, ${k}]·${below ? `${below.track}.h[${below.unit}]` : `x[${k}]`}`;
  };
  const hiddenName = (k: number) => `${r}W_h${gate}[${unit}, ${k}]·h_prev[${k}]`;
  return [
    ...side(dot, "input", inputName, shown),
    ...side(dot, "hidden", hiddenName, shown),
    ...(hasBiases ? [bias("b_i", biasInput), bias(`${r}b_h`, scale * biasHidden)] : []),
  ];
}
