// Series: which part of it is read, and its columns by step, in the units of the data.

import type { Model, Run, Series } from "studio/types.js";

export type Span = { from: number; to: number };

/** The part of its series that a text ("120+365": from a step on so many) asks a model to read; null: other numbers. */
export function spanOf({ steps, window }: Series, text: string): Span | null {
  const [, from, count] = /^(\d{1,9})\+(\d{1,9})$/.exec(text.trim()) ?? [];
  if (steps === 0 || (text.trim() !== "" && from === undefined)) return null;
  const size = Math.min(steps, window ?? (from === undefined ? steps : Math.max(1, Number(count))));
  const start = from === undefined ? steps - size : Math.min(Number(from), steps - size);
  return { from: start, to: start + size };
}

/** The text that asks for a part, as near as the series has it. */
export function spanText(series: Series, from: number, size: number): string {
  const count = series.window ?? Math.min(Math.max(1, Math.round(size)), series.steps);
  return count === series.steps ? "" : `${Math.max(0, Math.min(Math.round(from), series.steps - count))}+${count}`;
}

/** A column of numbers over the steps of a run, and of those after it that it forecasts; NaN where there is none. */
export interface SeriesLine {
  kind: "feature" | "truth" | "forecast" | "before"; // before: the forecast without the edits
  name: string;
  unit: string;
  at: (t: number) => number;
}

/** The lines of a run: of each target the truth and the forecasts for a step, made the fewest steps before; features. */
export function seriesLines({ series }: Model, run: Run, plain: Run | null): SeriesLine[][] {
  if (!series || !run.series) return inputLines(run);
  const { features, targets, ahead, truth, steps } = series;
  const [C, K, F] = [features.length, targets.length, targets.length * ahead.length];
  const { from } = run.series;
  const whole = from === null || run.edits.length > 0 ? null : series.forecast();
  const forecast =
    ({ series: part }: Run, k: number) =>
    (t: number) => {
      const made = t - ahead[0];
      const own = made < 0 ? NaN : (part?.forecast[made * F + k] ?? NaN);
      return Number.isNaN(own) && whole && from !== null ? (whole[(from + made) * F + k] ?? NaN) : own;
    };
  const ofTargets = targets.map(({ name, unit }, k) => {
    const lines: SeriesLine[] = [{ kind: "forecast", name, unit, at: forecast(run, k) }];
    if (plain && plain !== run) lines.unshift({ kind: "before", name, unit, at: forecast(plain, k) });
    const isTrue = (t: number) => from !== null && truth !== null && from + t < steps;
    if (truth) lines.unshift({ kind: "truth", name, unit, at: (t) => (isTrue(t) ? truth[(from! + t) * K + k] : NaN) });
    return lines;
  });
  const { values } = run.series;
  const ofFeatures = features.map(({ name, unit }, c): SeriesLine[] => [
    { kind: "feature", name, unit, at: (t) => values[t * C + c] ?? NaN },
  ]);
  return [...ofTargets, ...ofFeatures];
}

function inputLines({ tracks: [{ input, info }] }: Run): SeriesLine[][] {
  const C = info.inputSize;
  return Array.from({ length: input ? C : 0 }, (_, c) => [
    { kind: "feature", name: `x${c}`, unit: "", at: (t) => input?.[t * C + c] ?? NaN },
  ]);
}

/** Whether a run's steps have no words and are shown as curves. */
export function readsNumbers(run: Run): boolean {
  const isLayer = run.heads.length === 0 && run.tracks[0].input !== null;
  return run.series !== undefined || (isLayer && run.tokens.every((token) => /^\d+$/.test(token)));
}

/** A forecast after a step: its target, how many steps ahead, its value and, where it is known, the truth. */
export type Forecast = { name: string; unit: string; ahead: number; value: number; truth: number };

export function forecastsAt({ series }: Model, run: Run, t: number): Forecast[] {
  if (!series || !run.series) return [];
  const { targets, ahead, truth } = series;
  const { from, forecast } = run.series;
  const K = targets.length;
  return ahead.flatMap((steps, a) =>
    targets.map(({ name, unit }, k) => {
      const known = from === null ? NaN : (truth?.[(from + t + steps) * K + k] ?? NaN);
      return { name, unit, ahead: steps, value: forecast[(t * ahead.length + a) * K + k], truth: known };
    }),
  );
}

/** A number of a series with four digits, or more before the point. */
export function seriesNumber(value: number): string {
  if (!Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  return size >= 1e6 || (size > 0 && size < 1e-3)
    ? value.toExponential(2)
    : value.toFixed(Math.max(0, 4 - Math.floor(Math.log10(Math.max(1, size)))));
}

export const withUnit = ({ name, unit }: { name: string; unit: string }): string =>
  unit === "" ? name : `${name} [${unit}]`;

/** The nearest forecast after a step, of the first target; "" if there is none. */
export function forecastText(model: Model, run: Run, t: number): string {
  const [made] = forecastsAt(model, run, t);
  return made && Number.isFinite(made.value) ? `${seriesNumber(made.value)} ${made.unit}`.trim() : "";
}
