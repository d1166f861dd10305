// The values of the pinned units over the sentence: the gates above, the candidate and the states below.

import type { ReadonlySignal } from "@preact/signals";
import { isSequential, nextRound } from "studio/state/ranges.js";
import { memoryState, quantityWidth, shortToken, shownUnits, stepName, trackOf, valueAt } from "studio/state/run.js";
import type { App } from "studio/state/types.js";
import type { Model, Run, Track, View } from "studio/types.js";
import { useApp, useDerived, useStep } from "studio/ui/app.js";
import { tick } from "studio/ui/draw.js";
import { linePath } from "studio/ui/line.js";
import { Panel, Unread } from "studio/ui/panel.js";
import { quantityColour } from "studio/ui/scales.js";
import { Stage, Text, useScrub } from "studio/ui/stage.js";

const HELP =
  "Each pinned unit over the sentence. At the top, its three gates from 0 (closed) to 1 (open): i writes, f keeps, o " +
  "outputs. Below, the candidate g, the cell state c (the memory), and the hidden state h, which the rest of the " +
  "network sees (with a projection, which mixes all units, the element of h with this index). Drag to scrub; the numbers on the right are the values at the cursor.";

export function LinesPanel() {
  const { store, session, view } = useApp();
  const step = useStep();

  const charts = (width: number): ChartProps[] => {
    const { run, model } = session;
    if (run === null || model === null) return [];
    const [units, track] = [shownUnits(view), trackOf(run, view.track)];
    const reach = chartReach(run, track, units);
    return units.map((unit, k) => {
      return { model, run, track, unit, width, reach, tokens: k === units.length - 1, step };
    });
  };
  const scrub = useScrub((x, width) => stepAt(x, width, session.run?.steps ?? 0));
  return (
    <Panel
      {...{ id: "lines", title: "Units over time", help: HELP }}
      picture={(width) => session.run && <LinesPicture charts={charts(Math.max(480, width))} />}
      exports={{ csv: () => lineRows(session, store.get()) }}
      draw={() => (
        <>
          <Unread />
          <Stage class="lines" {...scrub}>
            {(width) => charts(width).map((props) => <LiveChart {...props} />)}
          </Stage>
          {session.run !== null && view.pinned.length === 0 && (
            <p class="soft hint">Pin units in the heat map to see several of them here.</p>
          )}
        </>
      )}
    />
  );
}

function LinesPicture({ charts }: { charts: ChartProps[] }) {
  let height = 0;
  const placed = charts.map((props) => {
    const y = height;
    height += chartHeight(props.model, props.tokens);
    return <UnitChart {...props} y={y} />;
  });
  const width = charts[0].width;
  return (
    <svg class="lines-picture" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      {placed}
    </svg>
  );
}

function lineRows({ run, model }: App["session"], view: View): string[][] {
  if (run === null || model === null) return [];
  const track = trackOf(run, view.track);
  const rows = shownUnits(view).flatMap((unit) =>
    run.tokens.map((token, t) => {
      const values = model.quantities.map((name) => valueAt(track, name, unit, t));
      return [view.track, unit, t, token, ...values].map(String);
    }),
  );
  return [["track", "unit", "step", "token", ...model.quantities], ...rows];
}

export interface ChartProps {
  model: Model;
  run: Run;
  track: Track;
  unit: number;
  width: number;
  reach: number; // the largest memory on the scale
  tokens: boolean; // whether to show them below
  step: ReadonlySignal<number>;
  y?: number; // in a picture, which has the cursor in it; on the page, it is in a layer of its own
}

const ROW = 17; // height of a line of the numbers on the right

export const chartHeight = (model: Model, tokens: boolean): number =>
  bottom(bands(model, 1)) + (tokens ? TOKENS_HEIGHT : 10);

function bottom(all: Band[]) {
  const { top, height } = all[all.length - 1];
  return top + height;
}

export function UnitChart(props: ChartProps) {
  const { model, run, track, unit, width, reach, tokens, step, y } = props;
  const all = bands(model, reach);
  const height = chartHeight(model, tokens);
  const label = useDerived(() => spoken(model, run, track, unit, step.value), [model, run, track, unit]);
  return (
    <svg
      class="lines-chart"
      {...{ y, width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }}
      aria-label={label}
    >
      <Text x={0} y={TOP + 11} kind="lines-unit" text={`unit ${unit}`} />
      {all.map((band) => (
        <>
          {(band.low === 0 ? [0, 1] : [band.low, 0, band.high]).map((value) => (
            <Level value={value} y={Math.round(valueY(value, band)) + 0.5} width={width} />
          ))}
          {band.names.map((name) => (
            <path d={line(props, band, name)} class="lines-line" stroke={quantityColour(name)} />
          ))}
        </>
      ))}
      {y !== undefined && <AtCursor {...props} all={all} />}
      {tokens &&
        tokenTicks(run, width).map(({ x, word, isSlanted }) => (
          <text
            {...{ x, y: bottom(all) + 14, class: "tick word-tick", "text-anchor": isSlanted ? "end" : "middle" }}
            transform={isSlanted ? `rotate(-40 ${x} ${bottom(all) + 14})` : undefined}
          >
            {word}
          </text>
        ))}
    </svg>
  );
}

/** The chart on the page, on which only the cursor is drawn again when it moves. */
export function LiveChart(props: ChartProps) {
  const { model, width, reach, tokens } = props;
  return (
    <div class="series">
      <UnitChart {...props} />
      <svg class="series-marks" width={width} height={chartHeight(model, tokens)} aria-hidden="true">
        <AtCursor {...props} all={bands(model, reach)} />
      </svg>
    </div>
  );
}

const Level = ({ value, y, width }: { value: number; y: number; width: number }) => (
  <>
    <line x1={LEFT} x2={width - RIGHT} y1={y} y2={y} class={value === 0 ? "axis" : "axis faint"} />
    <Text x={LEFT - 6} y={y + 3.5} kind="tick" anchor="end" text={tick(value)} />
  </>
);

/** A vertical line, with the values there as dots and as numbers on the right. */
function AtCursor({ run, track, unit, width, step, all }: ChartProps & { all: Band[] }) {
  const x = stepX(step.value, width, run.steps);
  const values = all.flatMap((band) =>
    band.names.map((name, k) => ({ name, k, band, value: valueAt(track, name, unit, step.value) })),
  );
  return (
    <>
      <line x1={x} x2={x} y1={TOP} y2={bottom(all)} class="cursor" />
      {values.map(
        ({ name, band, value }) =>
          unit < quantityWidth(track.info, name) && (
            <circle cx={x} cy={valueY(value, band)} r={3.2} class="lines-dot" fill={quantityColour(name)} />
          ),
      )}
      {values.map(({ name, k, band: { top, height, names }, value }) => {
        const y = top + height / 2 + (k - (names.length - 1) / 2) * ROW + 4;
        return (
          <>
            <Text x={width - RIGHT + 14} y={y} kind="lines-letter" style={{ fill: quantityColour(name) }} text={name} />
            <text x={width - 2} y={y} class="lines-number" text-anchor="end">
              {Number.isFinite(value) ? value.toFixed(4) : "\u2013"}
            </text>
          </>
        );
      })}
    </>
  );
}

function line({ run: { steps }, track, unit, width }: ChartProps, band: Band, name: string) {
  const [at, x] = [(t: number) => valueAt(track, name, unit, t), (t: number) => stepX(t, width, steps)];
  return linePath(at, steps, x, (value) => valueY(value, band));
}

function spoken(model: Model, run: Run, track: Track, unit: number, step: number) {
  const values = model.quantities.map((name) => `${name} ${valueAt(track, name, unit, step).toFixed(2)}`);
  return `Unit ${unit} of ${track.info.name} at ${stepName(run, step)}: ${values.join(", ")}`;
}

type Band = { names: string[]; low: number; high: number; top: number; height: number };

const LEFT = 88;
const RIGHT = 84;
const TOP = 8;
const TOKENS_HEIGHT = 60;
const GATES_HEIGHT = 50;
const MEMORY_HEIGHT = 66;
const BETWEEN = 12;
const CLOSE = 14; // minimum pixels between tokens, if each step has one
const LOOSE = 18; // minimum pixels between tokens, if some steps have none

/** The common scale of the charts of several units: the largest memory to show. */
export function chartReach(run: Run, track: Track, units: readonly number[]): number {
  const memory = memoryState(track);
  const values = units.flatMap((unit) => run.tokens.map((_, t) => Math.abs(valueAt(track, memory, unit, t))));
  return nextRound(values.reduce((most, value) => Math.max(most, value), 1));
}

function bands({ quantities }: Model, reach: number): Band[] {
  const gates = quantities.filter(isSequential);
  const memory = quantities.filter((name) => !gates.includes(name));
  const above = gates.length > 0 ? GATES_HEIGHT + BETWEEN : 0;
  const open = { names: gates, low: 0, high: 1, top: TOP, height: GATES_HEIGHT };
  const signed = { names: memory, low: -reach, high: reach, top: TOP + above, height: MEMORY_HEIGHT };
  return gates.length > 0 ? [open, signed] : [signed];
}

const stepX = (t: number, width: number, steps: number) =>
  LEFT + ((t + 0.5) * (width - LEFT - RIGHT)) / Math.max(1, steps);

/** `width`: of the chart; returns the step at x */
export function stepAt(x: number, width: number, steps: number): number | null {
  const step = Math.floor(((x - LEFT) * steps) / (width - LEFT - RIGHT));
  return step >= 0 && step < steps ? step : null;
}

function valueY(value: number, { low, high, top, height }: Band) {
  const share = (Math.min(Math.max(value, low), high) - low) / (high - low);
  return top + height * (1 - (Number.isFinite(share) ? share : 0));
}

/** The tokens below a chart, as many as there is room for. They are slanted, unless they are characters. */
export function tokenTicks({ tokens, steps }: Pick<Run, "tokens" | "steps">, width: number) {
  const pitch = (width - LEFT - RIGHT) / Math.max(1, steps);
  const every = pitch >= CLOSE ? 1 : Math.ceil(LOOSE / pitch);
  const isSlanted = tokens.some((token) => shortToken(token, 2).length > 1);
  return tokens.flatMap((token, t) => {
    const x = stepX(t, width, steps) + (isSlanted ? 3 : 0);
    return t % every === 0 ? [{ x, word: shortToken(token, 11), isSlanted }] : [];
  });
}
