// The distribution at the cursor. A few labels are shown as columns in a fixed order, so that steps can be compared by
// eye; if there are many, the likeliest are listed. For a model without predictions, the strongest units of the hidden
// state are listed.

import { findHead, likeliest, predictionAt, quantityWidth, shortToken, shownToken, trackOf } from "studio/state/run.js";
import type { Head, Run, Track } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { colour } from "studio/ui/scales.js";

const MOST_COLUMNS = 24;
const MOST_ROWS = 6;
const COLUMNS = { width: 330, height: 50, top: 12, names: 34 }; // top: room for the numbers above the columns
const ROWS = { width: 340, pitch: 16, names: 108, numbers: 54 };

type Bar = { label: string; value: number; click?: () => void };

export function Distribution() {
  const { store, session, view } = useApp();
  const { run } = session;
  if (run === null) return <div class="distribution" hidden />;
  const head = findHead(run, view.head);
  const step = Math.min(view.step, run.steps - 1);
  const inColumns = head && run.surprise === null && head.labels.length <= MOST_COLUMNS;
  const units = () =>
    strongest(trackOf(run, view.track), step).map(({ unit, value }) => {
      return { label: `unit ${unit}`, value, click: () => store.set({ unit }) };
    });
  return (
    <div class="distribution">
      <p class="says" aria-live="polite">
        {head ? <Sentence run={run} head={head} step={step} /> : `Hidden state h of ${view.track} at step ${step}`}
      </p>
      {head && inColumns ? (
        <Columns bars={labelBars(head, step)} chosen={head.chosen[step]} />
      ) : (
        <Rows bars={head ? likeliestBars(head, step) : units()} isState={head === null} />
      )}
    </div>
  );
}

function Sentence({ run, head, step }: { run: Run; head: Head; step: number }) {
  const { label, probability } = predictionAt(head, step);
  const token = <b class="says-token">{shortToken(run.tokens[step], 20)}</b>;
  return (
    <>
      {run.surprise ? <>After {token} it expects </> : <>{token} is </>}
      <b>{shownToken(label)}</b> <span class="number">{probability.toFixed(4)}</span>
    </>
  );
}

const labelBars = ({ labels, probabilities }: Head, step: number): Bar[] =>
  labels.map((label, k) => ({ label, value: probabilities[step * labels.length + k] }));

function likeliestBars(head: Head, step: number): Bar[] {
  const K = head.labels.length;
  const best = likeliest(head, step, Math.min(K, MOST_ROWS - 1));
  const rest = 1 - best.reduce((sum, { probability }) => sum + probability, 0);
  const bars = best.map(({ label, probability }) => ({ label: shortToken(label, 16), value: probability }));
  return K > best.length ? [...bars, { label: `${K - best.length} others`, value: Math.max(0, rest) }] : bars;
}

function strongest(track: Track, t: number): { unit: number; value: number }[] {
  const width = quantityWidth(track.info, "h");
  const row = track.values.h.subarray(t * width, (t + 1) * width);
  const units = Array.from(row, (value, unit) => ({ unit, value }));
  return units.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, MOST_ROWS);
}

function spoken(bars: Bar[], isState: boolean): string {
  const best = isState ? bars : [...bars].sort((a, b) => b.value - a.value).slice(0, 5);
  const said = best.filter(({ value }) => isState || value >= 0.005);
  return `${isState ? "Strongest" : "Likeliest"}: ${said.map(({ label, value }) => `${label} ${value.toFixed(2)}`).join(", ")}`;
}

/** One column per label, always in the same order. */
function Columns({ bars, chosen }: { bars: Bar[]; chosen: number }) {
  const { width, height: full, top, names } = COLUMNS;
  const pitch = width / bars.length;
  const [base, height] = [top + full, top + full + names];
  return (
    <svg
      {...{ class: "chart", width, height, viewBox: `-14 0 ${width + 18} ${height}`, role: "img" }}
      aria-label={spoken(bars, false)}
    >
      <line x1={0} x2={width} y1={top + 0.5} y2={top + 0.5} class="axis faint" />
      <line x1={0} x2={width} y1={base + 0.5} y2={base + 0.5} class="axis" />
      {bars.map(({ label, value }, k) => {
        const tall = Math.max(0, value) * full;
        const [x, mark] = [(k + 0.5) * pitch, k === chosen ? " chosen" : ""];
        return (
          <>
            <rect
              {...{ x: x - pitch * 0.36, y: base - tall, width: pitch * 0.72, height: tall, rx: 1 }}
              class={`column${mark}`}
            />
            <text x={x} y={base - tall - 3} class="column-number" text-anchor="middle">
              {value >= 0.05 && value.toFixed(2)}
            </text>
            <text
              {...{ x: x + 3, y: base + 8, class: `column-name${mark}`, "text-anchor": "end" }}
              transform={`rotate(-52 ${x + 3} ${base + 8})`}
            >
              {label}
            </text>
          </>
        );
      })}
    </svg>
  );
}

/** One label or unit per row, strongest first. Values of a state are in -1..1, probabilities in 0..1. */
function Rows({ bars, isState }: { bars: Bar[]; isState: boolean }) {
  const { width, pitch, names, numbers } = ROWS;
  const height = MOST_ROWS * pitch;
  const space = width - names - numbers;
  const [zero, scale] = isState ? [names + space / 2, space / 2] : [names, space];
  return (
    <svg
      {...{ class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }}
      aria-label={spoken(bars, isState)}
    >
      <line x1={zero} x2={zero} y1={0} y2={height} class="axis" />
      {bars.map(({ label, value, click }, k) => {
        const long = Math.min(1, Math.abs(value || 0)) * scale; // values that a trace did not record are NaN
        const kind = `${k === 0 && !isState ? "chosen" : ""} ${click ? "clickable" : ""}`.trim();
        return (
          <g class={kind} onClick={click}>
            <text x={names - 8} y={k * pitch + 12} class="row-name" text-anchor="end">
              {shownToken(label)}
            </text>
            <rect
              {...{ x: value < 0 ? zero - long : zero, y: k * pitch + 3, width: long, height: pitch - 6, rx: 1 }}
              class="row-bar"
              style={{ fill: isState ? colour("h", value) : "" }}
            />
            <text x={width} y={k * pitch + 12} class="row-number" text-anchor="end">
              {Number.isNaN(value) ? "\u2013" : value.toFixed(4)}
            </text>
          </g>
        );
      })}
    </svg>
  );
}
