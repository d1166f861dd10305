// The matrices with a pointer that is moved by mouse or arrow keys. It shows the name of a weight, and a lens enlarges
// its surroundings.

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import {
  type Figure,
  type Spot,
  type Weights,
  columnsText,
  spotAt,
  weightAt,
  type Matrix,
} from "studio/panels/structure/layout.js";
import { drawFigure, READABLE } from "studio/panels/structure/matrix.js";
import { inkOver, weightRgb } from "studio/panels/structure/scale.js";
import { useApp } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { Canvas } from "studio/ui/stage.js";
import { fontFamily, resolved } from "studio/ui/theme.js";

const BESIDE = 330; // minimum free pixels beside the matrices for the lens to fit there

export function WeightsFigure({ weights, width }: { weights: Weights; width: number }) {
  const { store } = useApp();
  const { model, track, figure, scale, matrices } = weights;
  const pointed = useSignal<{ figure: Figure; spot: Spot } | null>(null);
  const first = useMemo(() => ({ placed: figure.placed[0], row: track.units, column: 0 }), [figure, track]);
  const spot = () => (pointed.value?.figure === figure ? pointed.value.spot : first);
  const look = (at: Spot) => (pointed.value = { figure, spot: at });
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
          onPointerMove={(event) => {
            const at = under(event);
            if (at) look(at);
          }}
          onClick={(event) => {
            const at = under(event);
            if (!at) return;
            look(at);
            open();
          }}
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

function Matrices({ model, track, figure, scale, label }: Weights & { label: string }) {
  return (
    <Canvas
      {...{ class: "st-matrices", role: "img", "aria-hidden": undefined, "aria-label": label }}
      {...{ width: figure.width, height: figure.height }}
      draw={(context) => drawFigure(context, figure, model.gates, scale.limit, (one) => columnsText(model, track, one))}
    />
  );
}

/** The name and value of the weight that is pointed at. */
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

/** A few weights around the pointer, enlarged, with their numbers. */
function Lens(props: { spot: () => Spot; gates: readonly string[]; limit: number; isWide: boolean; width: number }) {
  const { gates, limit, isWide, width } = props;
  const size = lensSize(width, isWide);
  const spot = props.spot();
  return <Canvas class="st-lens" {...size} draw={(context) => drawLens(context, size, spot, limit, gates)} />;
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

type Size = { width: number; height: number; columns: number; rows: number };

/** The size of a lens beside or below the matrices, in pixels and in weights. */
function lensSize(width: number, isBeside: boolean): Size {
  const rows = isBeside ? ROWS.beside : ROWS.below;
  const columns = Math.max(3, Math.min(MOST_COLUMNS, Math.floor((width - NAMES) / CELL.width)));
  return { width: NAMES + CELL.width * columns, height: CELL.height * (rows + 1), columns, rows };
}

/** @param limit of the colours */
function drawLens(
  pen: CanvasRenderingContext2D,
  { width, height, columns, rows }: Size,
  spot: Spot,
  limit: number,
  gates: readonly string[],
) {
  pen.fillStyle = resolved("--surface");
  pen.fillRect(0, 0, width, height);
  drawCells(pen, spot, { wide: columns, tall: rows }, limit, gates);
}

function drawCells(
  pen: CanvasRenderingContext2D,
  { placed: { matrix }, row, column }: Spot,
  most: { wide: number; tall: number },
  limit: number,
  gates: readonly string[],
) {
  const wide = Math.min(most.wide, matrix.columns),
    tall = Math.min(most.tall, matrix.rows);
  const left = begin(column, wide, matrix.columns),
    top = begin(row, tall, matrix.rows);
  pen.textBaseline = "middle";
  for (let r = 0; r < tall; r++) {
    nameRow(pen, matrix, gates, top + r, (r + 1.5) * CELL.height);
    for (let c = 0; c < wide; c++) {
      const value = matrix.values[(top + r) * matrix.columns + left + c];
      cell(pen, value, NAMES + c * CELL.width, (r + 1) * CELL.height, limit);
    }
  }
  nameColumns(pen, matrix, left, wide);
  pen.strokeStyle = resolved("--cursor");
  pen.lineWidth = 2;
  pen.strokeRect(
    NAMES + (column - left) * CELL.width + 1,
    (row - top + 1) * CELL.height + 1,
    CELL.width - 2,
    CELL.height - 2,
  );
}

/** @returns the first that is shown */
function begin(at: number, shown: number, all: number): number {
  return Math.max(0, Math.min(at - Math.floor(shown / 2), all - shown));
}

function cell(pen: CanvasRenderingContext2D, value: number, x: number, y: number, limit: number) {
  pen.fillStyle = `rgb(${weightRgb(value, limit).join(",")})`;
  pen.fillRect(x + 0.5, y + 0.5, CELL.width - 1, CELL.height - 1);
  pen.fillStyle = inkOver(value, limit);
  pen.font = `11px ${fontFamily("--mono")}`;
  pen.textAlign = "center";
  pen.fillText(value.toFixed(4), x + CELL.width / 2, y + CELL.height / 2);
}

function nameRow(pen: CanvasRenderingContext2D, matrix: Matrix, gates: readonly string[], row: number, y: number) {
  const { gate, unit } = weightAt(matrix, gates, row, 0);
  pen.fillStyle = gate ? resolved(`--q-${gate}`) : resolved("--ink-soft");
  pen.font = `11px ${fontFamily("--mono")}`;
  pen.textAlign = "right";
  pen.fillText(`${matrix.short}${gate ?? ""}[${unit}]`, NAMES - 6, y);
}

function nameColumns(pen: CanvasRenderingContext2D, matrix: Matrix, left: number, wide: number) {
  if (matrix.vector) return;
  pen.fillStyle = resolved("--ink-soft");
  pen.textAlign = "center";
  for (let c = 0; c < wide; c++) pen.fillText(String(left + c), NAMES + (c + 0.5) * CELL.width, CELL.height / 2);
}
