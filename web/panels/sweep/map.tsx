// The heat map of a sweep: a row for each state of each layer and direction, a column for each step.

import { type Pair, type Sweep, differing } from "studio/panels/sweep/sweep.js";
import { shortToken } from "studio/state/tokens.js";
import { exactly } from "studio/ui/draw.js";
import { colour } from "studio/ui/scales.js";
import { Grid, Text } from "studio/ui/stage.js";
import { columnWidth } from "studio/ui/word-chart.js";

const LEFT = 46;
const [WORDS, ROW, LEGEND] = [26, 26, 26];

/** @param press called with the number of the pressed place, as `point` is with the one pointed at */
export function PatchMap({
  sweep,
  width,
  press = () => {},
  point,
}: {
  sweep: Sweep;
  width: number;
  press?: (n: number) => void;
  point?: (n: number | null) => void;
}) {
  const { pair, places, effects } = sweep;
  const { subject, target } = pair.explained;
  const T = subject.steps;
  const words = subject.tokens.map((token) => shortToken(token, 16));
  const column = columnWidth(words, width - LEFT - 4);
  const rows = places.length / T;
  const [total, height] = [Math.max(LEFT + T * column + 2, 260), WORDS + rows * ROW + LEGEND];
  const most = effects.reduce((largest, effect) => Math.max(largest, Math.abs(effect)), 0);
  const ends = [-most || -1, most || 1] as const;
  const changed = new Set(differing(subject, pair.other));
  const kind = (t: number) => `word${changed.has(t) ? " differs" : ""}${t === target.t ? " asked" : ""}`;
  return (
    <svg class="patch-map" width={total} height={height} viewBox={`0 0 ${total} ${height}`}>
      {words.map((word, t) => (
        <Text x={LEFT + t * column + column / 2} y={17} kind={kind(t)} anchor="middle" room={column - 4}>
          {word}
        </Text>
      ))}
      <Grid label="Effect of each patch" columns={T} current={strongest(effects)} press={press} point={point}>
        {places.map((_, n) => (
          <rect
            {...{ x: LEFT + (n % T) * column, y: WORDS + Math.floor(n / T) * ROW, width: column, height: ROW }}
            {...{ class: "cell", role: "button", "data-cell": n, fill: colour("h", effects[n], ends) }}
            aria-label={cellName(pair, places[n], effects[n])}
          />
        ))}
      </Grid>
      <g class="stays">
        <rect x={0} y={WORDS} width={LEFT} height={rows * ROW} class="names-back" />
        {Array.from({ length: rows }, (_, r) => (
          <Text x={LEFT - 6} y={WORDS + r * ROW + ROW / 2 + 4} kind="row-name" anchor="end" room={LEFT - 8}>
            {`${subject.tracks[places[r * T].track].info.name}.${places[r * T].quantity}`}
          </Text>
        ))}
        <Text x={LEFT} y={height - 8} kind="patch-legend" room={Math.min(total, Math.max(width, 260)) - LEFT}>
          {`orange raises, blue lowers; the strongest by ${exactly(most).replace("+", "")}`}
        </Text>
      </g>
    </svg>
  );
}

export function strongest(effects: Float64Array): number {
  return effects.reduce((best, effect, n) => (Math.abs(effect) > Math.abs(effects[best]) ? n : best), 0);
}

function cellName({ explained }: Pair, { track, quantity, t }: Sweep["places"][number], effect: number): string {
  const { tracks, tokens } = explained.subject;
  return `${quantity} of ${tracks[track].info.name} at ${shortToken(tokens[t], 24)}, step ${t}: ${exactly(effect)}`;
}
