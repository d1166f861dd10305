// The matrices with a pointer that is moved by mouse or arrow keys. It shows the name of a weight, and a lens enlarges
// its surroundings.

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Figure, Spot, Weights } from "studio/panels/structure/matrix.js";
import {
  drawPoints,
  inkOver,
  MatrixFrame,
  READABLE,
  spotAt,
  weightAt,
  weightRgb,
} from "studio/panels/structure/matrix.js";
import { useApp } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { Canvas, Text } from "studio/ui/stage.js";

const BESIDE = 330; // minimum free pixels beside the matrices for the lens to fit there

export function WeightsFigure({ weights, width }: { weights: Weights; width: number }) {
  const { store } = useApp();
  const { model, track, figure, scale, matrices } = weights;
  const pointed = useSignal<{ figure: Figure; spot: Spot } | null>(null);
  const [placed] = figure.placed;
  const first = useMemo(() => ({ placed, row: track.units % placed.matrix.rows, column: 0 }), [figure, track]);
  const spot = () => (pointed.value?.figure === figure ? pointed.value.spot : first);
  const look = (at: Spot | null) => at && (pointed.value = { figure, spot: at });
  const open = () => {
    const { placed, row, column } = spot();
    const { gate, unit } = weightAt(placed.matrix, model.gates, row, column);
    if (gate) store.set({ page: "read", unit, gate, zoom: "gate" });
  };
  const under = (event: MouseEvent & { currentTarget: Element }) => {
    const box = event.currentTarget.getBoundingClientRect();
    return spotAt(figure, event.clientX - box.left, event.clientY - box.top);
  };
  const beside = width - figure.width - 28;
  const isWide = beside >= BESIDE;
  const shapes = matrices.map(({ parameter, rows, columns }) => `${parameter} ${rows} by ${columns}`);
  return (
    <div class={isWide ? "st-weights is-wide" : "st-weights"}>
      <div class="st-scroll">
        <div
          {...{ class: "st-holder", tabindex: 0, role: "group", "aria-label": "Weights; arrows move, Enter opens" }}
          onPointerMove={(event) => look(under(event))}
          onClick={(event) => look(under(event)) && open()}
          onKeyDown={(event) => {
            const next = nextSpot(figure, spot(), event.key);
            if (!next && event.key !== "Enter") return;
            event.preventDefault();
            event.stopPropagation(); // here the arrow keys move the pointer
            if (next) look(next);
            else open();
          }}
        >
          <Matrices {...weights} label={`Weights of ${track.name}: ${shapes.join(", ")}`} />
          <Mark spot={spot} />
        </div>
      </div>
      <div class="st-side">
        <Pointed spot={spot} gates={model.gates} />
        {figure.pixel < READABLE && (
          <Lens {...{ spot, gates: model.gates, limit: scale.limit, isWide, width: isWide ? beside : width }} />
        )}
      </div>
    </div>
  );
}

function Matrices({ label, ...weights }: Weights & { label: string }) {
  const { figure, scale } = weights;
  const { width, height } = figure;
  return (
    <>
      <Canvas
        {...{ class: "st-matrices", role: "img", "aria-hidden": undefined, "aria-label": label, width, height }}
        draw={(context) => drawPoints(context, figure, scale.limit)}
      />
      <svg class="st-frames" width={width} height={height} aria-hidden="true">
        {figure.placed.map((placed) => (
          <MatrixFrame {...{ placed, weights }} />
        ))}
      </svg>
    </>
  );
}

function Pointed({ spot, gates }: { spot: () => Spot; gates: readonly string[] }) {
  const { placed, row, column } = spot();
  const { name, parameter, value } = weightAt(placed.matrix, gates, row, column);
  return (
    <p class="st-said number" aria-live="polite">
      <b>{`${name} = ${format(value)}`}</b>
      <span class="soft">{parameter}</span>
    </p>
  );
}

function Mark({ spot }: { spot: () => Spot }) {
  const { placed, row, column } = spot();
  const { x, y, cellWidth, cellHeight } = placed;
  const [width, height] = [Math.max(cellWidth, 7), Math.max(cellHeight, 7)];
  const [left, top] = [x + (column + 0.5) * cellWidth - width / 2, y + (row + 0.5) * cellHeight - height / 2];
  return (
    <div class="st-mark" style={{ left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` }} />
  );
}

const WAYS: Record<string, [number, number]> = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
};

/** The spot that an arrow key moves to. Past a matrix's side, it is in the next matrix. */
function nextSpot({ placed }: Figure, spot: Spot, key: string): Spot | null {
  const way = WAYS[key];
  if (!way) return null;
  const { rows, columns } = spot.placed.matrix;
  const row = Math.max(0, Math.min(rows - 1, spot.row + way[0])),
    column = spot.column + way[1];
  const next = placed[placed.indexOf(spot.placed) + (column < 0 ? -1 : column >= columns ? 1 : 0)];
  if (!next) return spot;
  const entered = column < 0 ? next.matrix.columns - 1 : column >= columns ? 0 : column;
  return { placed: next, row: Math.min(row, next.matrix.rows - 1), column: entered };
}

const CELL = { width: 56, height: 24 };
const ROWS = { beside: 17, below: 9 };
const MOST_COLUMNS = 9;
const NAMES = 76;

/** A few weights around the pointer, enlarged, with their numbers; `limit`: of the colours. */
function Lens(props: { spot: () => Spot; gates: readonly string[]; limit: number; isWide: boolean; width: number }) {
  const { gates, limit, isWide, width } = props;
  const { placed, row, column } = props.spot();
  const { matrix } = placed;
  const fitting = Math.max(3, Math.min(MOST_COLUMNS, Math.floor((width - NAMES) / CELL.width)));
  const most = isWide ? ROWS.beside : ROWS.below;
  const rows = shownAround(row, most, matrix.rows);
  const columns = shownAround(column, fitting, matrix.columns);
  const x = (c: number) => NAMES + (c - columns[0]) * CELL.width;
  const y = (r: number) => (r - rows[0] + 1) * CELL.height;
  return (
    <svg class="st-lens" width={NAMES + CELL.width * fitting} height={CELL.height * (most + 1)} aria-hidden="true">
      {rows.map((r) => {
        const { gate, unit } = weightAt(matrix, gates, r, 0);
        return (
          <>
            <text
              {...{ x: NAMES - 6, y: y(r) + 16, class: "st-lens-name is-row" }}
              style={{ fill: gate ? `var(--q-${gate})` : undefined }}
            >
              {`${matrix.short}${gate ?? ""}[${unit}]`}
            </text>
            {columns.map((c) => {
              const value = matrix.values[r * matrix.columns + c];
              const box = { x: x(c) + 0.5, y: y(r) + 0.5, width: CELL.width - 1, height: CELL.height - 1 };
              return (
                <>
                  <rect {...box} fill={`rgb(${weightRgb(value, limit).join(",")})`} />
                  <text x={x(c) + CELL.width / 2} y={y(r) + 16} fill={inkOver(value, limit)}>
                    {format(value)}
                  </text>
                </>
              );
            })}
          </>
        );
      })}
      {!matrix.vector && columns.map((c) => <Text x={x(c) + CELL.width / 2} y={16} kind="st-lens-name" text={c} />)}
      <rect
        {...{ x: x(column) + 1, y: y(row) + 1, width: CELL.width - 2, height: CELL.height - 2 }}
        class="st-lens-mark"
      />
    </svg>
  );
}

/** The numbers that are shown around one, of so many. */
function shownAround(at: number, shown: number, all: number): number[] {
  const first = Math.max(0, Math.min(at - Math.floor(shown / 2), all - shown));
  return Array.from({ length: Math.min(shown, all) }, (_, k) => first + k);
}
