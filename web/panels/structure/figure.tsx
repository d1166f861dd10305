// The matrices with a pointer that is moved by mouse or arrow keys, and shows the name of a weight.

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Figure, Spot, Weights } from "studio/panels/structure/matrix.js";
import { drawPoints, MatrixFrame, spotAt, weightAt } from "studio/panels/structure/matrix.js";
import { useApp } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { Canvas } from "studio/ui/stage.js";

export function WeightsFigure({ weights }: { weights: Weights }) {
  const { store } = useApp();
  const { model, track, figure, matrices } = weights;
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
  const shapes = matrices.map(({ parameter, rows, columns }) => `${parameter} ${rows} by ${columns}`);
  return (
    <div class="st-weights">
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
      <Pointed spot={spot} gates={model.gates} />
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
