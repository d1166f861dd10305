// The numbers that a layer reads, as lines over the steps. A click or a drag moves the cursor.

import type { ReadonlySignal } from "@preact/signals";
import type { Run } from "studio/types.js";
import { useStep } from "studio/ui/app.js";
import { tick } from "studio/ui/draw.js";
import { Stage, useScrub } from "studio/ui/stage.js";

const HEIGHT = 96;
const LEFT = 40;
const RIGHT = 92;
const PAD = 6;
const MOST = 8; // number of lines that can be distinguished

export function SignalPlot({ run }: { run: Run }) {
  const step = useStep();
  const scrub = useScrub((x, width) => {
    const at = Math.floor(((x - LEFT) * run.steps) / (width - LEFT - RIGHT));
    return at >= 0 && at < run.steps ? at : null;
  });
  return (
    <Stage class="signal" {...scrub}>
      {(width) => <SignalPicture {...{ run, width, step }} />}
    </Stage>
  );
}

export function SignalPicture({ run, width, step }: { run: Run; width: number; step: ReadonlySignal<number> }) {
  const { input, info } = run.tracks[0];
  const all = info.inputSize;
  const columns = Array.from({ length: Math.min(all, MOST) }, (_, column) =>
    Float32Array.from({ length: run.steps }, (__, t) => input?.[t * all + column] ?? NaN),
  );
  const low = columns.reduce((least, values) => values.reduce((min, value) => Math.min(min, value), least), 0);
  const most = columns.reduce((max, values) => values.reduce((one, value) => Math.max(one, value), max), 0);
  const high = most > low ? most : low + 1;
  const x = (t: number) => LEFT + ((t + 0.5) * (width - LEFT - RIGHT)) / Math.max(1, run.steps);
  const y = (value: number) => PAD + (HEIGHT - 2 * PAD) * (1 - (value - low) / (high - low));
  const part = columns.length < all ? `${columns.length} of ${all} columns` : "";
  const points = (values: Float32Array) =>
    Array.from(values, (value, t) => `${x(t).toFixed(1)},${y(value).toFixed(1)}`);
  return (
    <svg
      {...{ class: "signal-picture", width, height: HEIGHT, role: "img" }}
      aria-label={`Input: ${part || `${all} columns`}, ${run.steps} numbers each`}
    >
      <line class="axis" x1={LEFT} x2={width - RIGHT} y1={y(0)} y2={y(0)} />
      {[low, high].map((value) => (
        <text x={LEFT - 6} y={y(value) + 4} class="tick" text-anchor="end">
          {tick(value.toFixed(1))}
        </text>
      ))}
      {columns.map((values, k) => (
        <polyline
          class="signal-line"
          stroke-opacity={1 - (0.75 * k) / Math.max(1, columns.length)}
          points={points(values).join(" ")}
        />
      ))}
      <text x={width - RIGHT - 2} y={HEIGHT - 3} class="signal-note" text-anchor="end">
        {part}
      </text>
      <AtCursor {...{ columns, step, width, x }} />
    </svg>
  );
}

/** A vertical line, and the numbers there. */
function AtCursor({
  columns,
  step,
  width,
  x,
}: {
  columns: Float32Array[];
  step: ReadonlySignal<number>;
  width: number;
  x: (t: number) => number;
}) {
  const at = x(step.value);
  const pitch = Math.min(14, (HEIGHT - 2) / Math.max(1, columns.length));
  return (
    <>
      <line class="cursor" x1={at} x2={at} y1={0} y2={HEIGHT} />
      {columns.map((values, k) => (
        <>
          <text x={width - RIGHT + 12} y={10 + k * pitch} class="signal-name">
            x{k}
          </text>
          <text x={width} y={10 + k * pitch} class="signal-number" text-anchor="end">
            {(values[step.value] ?? NaN).toFixed(4)}
          </text>
        </>
      ))}
    </>
  );
}

/** Whether a run's steps have no words and are shown as a signal. */
export function readsNumbers(run: Run) {
  return run.heads.length === 0 && run.tracks[0].input !== null && run.tokens.every((token) => /^\d+$/.test(token));
}
