// A matrix with a point for each weight or block of weights, and the names of the gates beside their bands.

import {
  columnsText,
  type Figure,
  type Matrix,
  type Placed,
  type Weights,
  inkOver,
} from "studio/panels/structure/layout.js";
import { valueImage } from "studio/ui/scales.js";
import { Text } from "studio/ui/stage.js";
import { resolved } from "studio/ui/theme.js";

export const READABLE = 34; // minimum pixels of a cell for its number to fit inside
const STRIP = 4;

/** Draws the points of all matrices; `limit`: of the colours. */
export function drawPoints(context: CanvasRenderingContext2D, { placed, block, width, height }: Figure, limit: number) {
  context.fillStyle = resolved("--surface");
  context.fillRect(0, 0, width, height);
  context.imageSmoothingEnabled = false;
  for (const one of placed)
    context.drawImage(pointImage(one.matrix, block, limit), one.x, one.y, one.width, one.height);
}

/** A pixel for each weight or block of weights. */
export function pointImage(matrix: Matrix, block: number, limit: number): HTMLCanvasElement {
  const points = farthest(matrix, block, matrix.vector ? 1 : block);
  return valueImage(points.columns, points.rows, (k) => points.values[k], "g", [-limit, limit]);
}

/** The weight farthest from 0 in each block. Blocks never cross a gate boundary. */
export function farthest(
  { values, rows, columns, bands }: Matrix,
  down: number,
  across: number,
): { values: Float32Array; rows: number; columns: number } {
  if (down === 1 && across === 1) return { values, rows, columns };
  const H = rows / bands,
    tall = Math.ceil(H / down),
    wide = Math.ceil(columns / across);
  const out = new Float32Array(bands * tall * wide);
  for (let row = 0; row < rows; row++) {
    const to = (Math.floor(row / H) * tall + Math.floor((row % H) / down)) * wide;
    for (let column = 0; column < columns; column++) {
      const at = to + Math.floor(column / across),
        value = values[row * columns + column];
      if (Math.abs(value) > Math.abs(out[at])) out[at] = value;
    }
  }
  return { values: out, rows: bands * tall, columns: wide };
}

/** What is drawn over a matrix's points, and around them. */
export function MatrixFrame({ placed, weights }: { placed: Placed; weights: Weights }) {
  const { matrix, x, y, width, height, cellWidth, cellHeight } = placed;
  const { model, track, scale } = weights;
  const { vector: isSlim, parameter, rows, columns, bands, short, values } = matrix;
  const title = isSlim ? { x: x + width / 2 - 10, "text-anchor": "middle" as const } : { x };
  const band = height / bands;
  return (
    <>
      <rect x={x - 0.5} y={y - 0.5} width={width + 1} height={height + 1} class="weights-frame" />
      {cellWidth >= READABLE &&
        Array.from(values, (value, k) => (
          <text
            {...{ x: x + ((k % columns) + 0.5) * cellWidth, y: y + (Math.floor(k / columns) + 0.5) * cellHeight + 3.5 }}
            {...{ class: "weights-number", fill: inkOver(value, scale.limit) }}
          >
            {value.toFixed(2)}
          </text>
        ))}
      {Array.from({ length: bands }, (_, k) => {
        const [gate, top] = [bands === 1 ? "" : model.gates[k], y + k * band];
        const style = { fill: gate ? `var(--q-${gate})` : "var(--ink-soft)" };
        return (
          <>
            <rect x={x - STRIP - 4} y={top + 1} width={STRIP} height={band - 2} style={style} />
            <Text x={x - STRIP - 9} y={top + band / 2 + 4} kind="weights-gate" style={style} text={short + gate} />
            {k > 0 && <rect x={x} y={top - 0.5} width={width} height={1} class="weights-gap" />}
          </>
        );
      })}
      <Text {...title} y={y - 22} kind="weights-name" text={isSlim ? parameter.split("_l")[0] : parameter} />
      <Text {...title} y={y - 8} kind="weights-shape" text={isSlim ? rows : `${rows}×${columns}`} />
      <Text x={x} y={y + height + 16} kind="picture-label" text={columnsText(model, track, matrix)} />
    </>
  );
}
