// A series: its targets with forecast and truth, and its features, over the steps that are read; the whole above it.

import type { ReadonlySignal } from "@preact/signals";
import type { SeriesLine } from "studio/state/series.js";
import { forecastsAt, seriesLines, seriesNumber, spanOf, spanText, withUnit } from "studio/state/series.js";
import { hasWords, stepName } from "studio/state/run.js";
import type { Model, Run, Series } from "studio/types.js";
import { useApp, useStep } from "studio/ui/app.js";
import { tick } from "studio/ui/draw.js";
import { Button, Table } from "studio/ui/form.js";
import { type Ends, extent, linePath } from "studio/ui/line.js";
import { Stage, Text, useScrub } from "studio/ui/stage.js";

const LEFT = 56;
const RIGHT = 76;
const TARGET = 62; // height of a band
const FEATURE = 34;
const PAD = 5; // above and below the line of a band
const TICKS = 18;
const STRIP = 34;
const MOST_LINES = 8; // of a layer
const ROOM = 180; // of the bands of a few features
const LABEL = 84; // pixels for a date

interface Plot {
  model: Model;
  run: Run;
  width: number;
  bands: Band[];
}

export function SeriesPlot({ model, run }: { model: Model; run: Run }) {
  const { session } = useApp();
  const step = useStep();
  const shown = shownSteps(model, run);
  const scrub = useScrub((x, width) => {
    const at = Math.floor(((x - LEFT) * shown) / (width - LEFT - RIGHT));
    return at >= 0 && at < shown ? Math.min(at, run.steps - 1) : null;
  });
  return (
    <>
      {model.series && typeof run.series?.from === "number" && <Strip series={model.series} />}
      <div class="series-scroll">
        <Stage class="signal series" {...scrub}>
          {(width) => {
            const plot = { model, run, width, bands: bandsOf(model, run, session.plain) };
            return (
              <>
                <SeriesPicture {...plot} />
                <AtCursor {...plot} step={step} />
              </>
            );
          }}
        </Stage>
      </div>
    </>
  );
}

/** How many steps are shown: those of the run, and those after it that it forecasts. */
const shownSteps = ({ series }: Model, run: Run): number =>
  run.steps + Math.min(run.steps, Math.max(0, ...(series?.ahead ?? [])));

type Band = { lines: SeriesLine[]; top: number; height: number; ends: Ends; y: (value: number) => number };

export function bandsOf(model: Model, run: Run, plain: Run | null): Band[] {
  const T = shownSteps(model, run);
  let top = 0;
  const all = seriesLines(model, run, plain).slice(0, run.series ? undefined : MOST_LINES);
  return all.map((lines) => {
    const height = lines[0].kind === "feature" ? Math.max(FEATURE, Math.min(TARGET, ROOM / all.length)) : TARGET;
    const every = lines.map(({ at }) => at);
    const ends = extent(every, T);
    const band = { lines, top, height, ends, y: scaleY(ends, top + PAD, height - 2 * PAD) };
    top += height;
    return band;
  });
}

function scaleY([low, high]: Ends, top: number, room: number): (value: number) => number {
  return (value) => top + room * (high > low ? 1 - (value - low) / (high - low) : 0.5);
}

function scaleX(width: number, T: number): (t: number) => number {
  return (t) => LEFT + ((t + 0.5) * (width - LEFT - RIGHT)) / T;
}

/** What does not move with the cursor. */
export function SeriesPicture({ model, run, width, bands }: Plot) {
  const T = shownSteps(model, run);
  const x = scaleX(width, T);
  const bottom = bands.reduce((sum, { height }) => sum + height, 0);
  const cut = run.series ? 0 : run.tracks[0].info.inputSize;
  const every = Math.max(1, Math.ceil((LABEL * T) / (width - LEFT - RIGHT)));
  return (
    <svg
      {...{ class: "signal-picture", width, height: bottom + TICKS, role: "img" }}
      aria-label={`Input: ${bands.map(({ lines }) => withUnit(lines[0])).join(", ")}, ${run.steps} numbers each`}
    >
      {bands.map(({ lines, top, height, ends, y }) => (
        <>
          <line class="series-edge" x1={LEFT} x2={width - RIGHT} y1={top + height - 0.5} y2={top + height - 0.5} />
          {ends.map(
            (value, k) =>
              Number.isFinite(value) && (
                <Text x={LEFT - 6} y={y(value) + (k === 0 ? 1 : 7)} kind="tick" anchor="end" room={LEFT - 10}>
                  {written(value)}
                </Text>
              ),
          )}
          {lines.map(({ kind, at }) => (
            <path class={`series-line ${kind}`} d={linePath(at, T, x, y)} />
          ))}
          <Text x={LEFT + 4} y={top + 12} kind="series-name" text={withUnit(lines[0])} />
        </>
      ))}
      <text x={width} y={bottom + 13} class="signal-note" text-anchor="end">
        {cut > bands.length && `${bands.length} of ${cut} columns`}
      </text>
      {hasWords(run) &&
        run.tokens.map(
          (token, t) =>
            t % every === 0 &&
            x(t) + LABEL / 2 < width && <Text x={x(t)} y={bottom + 13} kind="tick" anchor="start" text={token} />,
        )}
    </svg>
  );
}

/** A line at the cursor, the numbers there, and the forecasts made there. */
function AtCursor({ model, run, width, bands, step }: Plot & { step: ReadonlySignal<number> }) {
  const x = scaleX(width, shownSteps(model, run));
  const t = step.value;
  const forecasts = forecastsAt(model, run, t);
  const height = bands.reduce((sum, band) => sum + band.height, 0);
  return (
    <svg class="series-marks" width={width} height={height} aria-hidden="true">
      <line class="cursor" x1={x(t)} x2={x(t)} y1={0} y2={height} />
      {bands.map(({ lines, top, y }) => {
        const [{ kind, name }] = lines;
        const points = forecasts.filter(
          (point) => kind !== "feature" && point.name === name && Number.isFinite(point.value),
        );
        return (
          <>
            {points.map(({ ahead, value }) => (
              <circle class="series-made" cx={x(t + ahead)} cy={y(value)} r={2.6} />
            ))}
            {lines.map(({ kind, at }, k) => (
              <Text x={width} y={top + 14 + 14 * k} kind={`signal-number ${kind}`} anchor="end" text={written(at(t))} />
            ))}
          </>
        );
      })}
    </svg>
  );
}

/** The first target, or feature, over the whole series, and the part that is read, which the pointer moves. */
function Strip({ series }: { series: Series }) {
  const { store, view } = useApp();
  const { steps, window, tokens, truth, values, targets, features } = series;
  const span = spanOf(series, view.text) ?? { from: 0, to: steps };
  const size = span.to - span.from;
  const read = (from: number, count: number) => {
    const text = spanText(series, from, count);
    const first = spanOf(series, text)?.from ?? 0;
    store.change({ text, step: Math.max(0, span.from + store.get().step - first) }, "another part of the series");
  };
  const move = (event: PointerEvent & { currentTarget: HTMLElement }) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    const at = ((event.clientX - left - LEFT) * steps) / (width - LEFT - RIGHT);
    if (event.buttons === 1) read(at - size / 2, size);
  };
  const by = window === null ? Math.max(1, Math.round(size / 2)) : 1;
  const tools: [string, string, () => void][] = [
    ["\u25c2", "Earlier", () => read(span.from - by, size)],
    ["\u25b8", "Later", () => read(span.from + by, size)],
    ["+", "Fewer steps, around the cursor", () => read(span.from + store.get().step - size / 4, size / 2)],
    ["\u2212", "More steps", () => read(span.from - size / 2, size * 2)],
    ["All", "The whole series", () => read(0, steps)],
  ];
  const [all, count] = truth ? [truth, targets.length] : [values as Float64Array, features.length];
  const at = (t: number) => all[t * count];
  const ends = extent([at], steps);
  return (
    <>
      <Stage class="series-strip" onPointerDown={move} onPointerMove={move}>
        {(width) => {
          const x = scaleX(width, steps);
          const y = scaleY(ends, 3, STRIP - 6);
          const [first, wide] = [x(span.from - 0.5), Math.max(2, x(size) - x(0))];
          return (
            <svg {...{ class: "signal-picture", width, height: STRIP }} aria-hidden="true">
              <path class="series-line truth" d={linePath(at, steps, x, y)} />
              <rect {...{ class: "series-read", x: first, width: wide, y: 0.5, height: STRIP - 1 }} />
            </svg>
          );
        }}
      </Stage>
      <div class="series-tools" role="group" aria-label="Part of the series">
        {tools.slice(0, window === null ? 5 : 2).map(([text, label, press]) => (
          <Button {...{ text, kind: "small", title: label, press }} aria-label={label} />
        ))}
        <span class="soft number">
          {tokens[span.from]} – {tokens[span.to - 1]}: {size} of {steps} steps
        </span>
      </div>
    </>
  );
}

const written = (value: number) => tick(seriesNumber(value));

/** The forecasts made at the cursor, with the truth. */
export function Forecasts({ model, run }: { model: Model; run: Run }) {
  const { plain } = useApp().session;
  const step = useStep().value;
  const forecasts = forecastsAt(model, run, step);
  const before = plain && plain !== run && plain.steps === run.steps ? forecastsAt(model, plain, step) : [];
  const ahead = (steps: number) => {
    const at = run.series?.from ?? null;
    const date = at === null ? undefined : model.series?.tokens[at + step + steps];
    return date ?? `${steps} ${steps === 1 ? "step" : "steps"} later`;
  };
  const isKnown = forecasts.some(({ value }) => Number.isFinite(value));
  return (
    <div class="distribution forecasts">
      <p class="says" aria-live="polite">
        {isKnown ? "After " : "No forecast at "}
        <b class="says-token">{stepName(run, step)}</b>
        {isKnown ? " it forecasts" : ": the model forecasts after the last step"}
      </p>
      {isKnown && (
        <Table
          {...{ class: "series-made-table", isNamed: true, kind: (_, isHead) => (isHead ? undefined : "number") }}
          rows={[
            ["", "forecast", ...(before.length > 0 ? ["without edits"] : []), "truth", "error"],
            ...forecasts
              .slice(0, 12)
              .map(({ name, unit, ahead: steps, value, truth }, k) => [
                `${withUnit({ name, unit })}, ${ahead(steps)}`,
                ...[value, ...before.slice(k, k + 1).map((one) => one.value), truth, value - truth].map(written),
              ]),
          ]}
        />
      )}
    </div>
  );
}
