// The matrices of one layer and direction: side by side, at the same scale, with gates aligned, and their colours.

import { modelSizes, parameters, SHORT } from "studio/panels/structure/sizes.js";
import { nextRound } from "studio/state/ranges.js";
import type { Model, TrackInfo, TrackWeights } from "studio/types.js";
import { rgb, valueImage } from "studio/ui/scales.js";
import { type Box, Text } from "studio/ui/stage.js";
import { resolved } from "studio/ui/theme.js";

export interface Matrix {
  parameter: string; // "weight_ih_l0"
  short: string; // "W_i", completed by a gate's letter; "W_hr" for a projection
  values: Float32Array; // [rows, columns]
  rows: number;
  columns: number;
  bands: number; // the number of stacked gates; 1 for a projection, and for a plain RNN
  vector: boolean; // whether it is a bias: one column, with no index in its name
}

/** a matrix in its place, in pixels */
export interface Placed extends Box {
  matrix: Matrix;
  cellWidth: number; // of one weight; less than a pixel if several share one
  cellHeight: number;
}

const LARGEST = 40; // maximum number of pixels per weight
const TALLEST = 512; // preferred maximum height of a matrix in pixels
const TITLE = 40;
const NAMES = 52; // room for the band names before each matrix
const BETWEEN = 18;
const VECTOR = 10; // minimum width of a bias in pixels
const LETTER = 6.7; // width of a letter in a title, in pixels
const APART = 40; // space to the right of a matrix, which the title of a narrow bias may use

export const stackedMatrices = (model: Model, track: TrackInfo): Matrix[] =>
  parameters(modelSizes(model), track).map(({ name, shape: [rows, columns = 1] }): Matrix => {
    const stem = name.slice(0, name.indexOf("_l")) as keyof TrackWeights;
    const bands = stem === "weight_hr" ? 1 : rows / track.units;
    const values = model.weights(track.name)[stem] as Float32Array;
    return {
      parameter: name,
      short: SHORT[stem] ?? "W_hr",
      values,
      rows,
      columns,
      bands,
      vector: stem.startsWith("bias"),
    };
  });

export interface Figure {
  placed: Placed[];
  width: number;
  height: number;
  pixel: number; // the size of a weight in CSS pixels
  block: number; // weights along each side of one drawn point
}

/** Places the matrices side by side, as large as fits; if need be, several weights share a pixel. */
export function placeMatrices(matrices: readonly Matrix[], width: number): Figure {
  const fixed = matrices.reduce((sum, { vector }) => sum + NAMES + BETWEEN + (vector ? VECTOR : 0), 0);
  const columns = matrices.reduce((sum, one) => sum + (one.vector ? 0 : one.columns), 0);
  const rows = Math.max(...matrices.map((one) => one.rows));
  const fits = Math.min((width - fixed) / columns, TALLEST / rows, LARGEST);
  const pixel = fits >= 1 ? Math.floor(fits) : 1 / Math.max(1, Math.ceil(1 / Math.max(fits, 1 / 64)));
  let x = 0;
  const placed = matrices.map((matrix) => {
    const cellWidth = matrix.vector ? Math.max(VECTOR, pixel) : pixel;
    const [width, height] = [matrix.columns * cellWidth, matrix.rows * pixel];
    const place = { matrix, x: x + NAMES, y: TITLE, width, height, cellWidth, cellHeight: pixel };
    x += Math.max(NAMES + place.width + BETWEEN, matrix.vector ? 0 : matrix.parameter.length * LETTER + APART);
    return place;
  });
  const block = Math.round(Math.max(1, 1 / pixel));
  return { placed, width: Math.max(x, 200), height: TITLE + rows * pixel + 26, pixel, block };
}

export interface Weights {
  model: Model;
  track: TrackInfo;
  matrices: Matrix[];
  figure: Figure;
  scale: Scale;
}

export type Spot = { placed: Placed; row: number; column: number };

export function spotAt({ placed }: Figure, x: number, y: number): Spot | null {
  for (const one of placed) {
    const column = Math.floor((x - one.x) / one.cellWidth),
      row = Math.floor((y - one.y) / one.cellHeight);
    if (column >= 0 && column < one.matrix.columns && row >= 0 && row < one.matrix.rows)
      return { placed: one, row, column };
  }
  return null;
}

/** A weight's name by gate, and its position in torch's parameter. */
export function weightAt(matrix: Matrix, gates: readonly string[], row: number, column: number) {
  const { short, parameter, values, rows, columns, bands, vector } = matrix;
  const H = rows / bands,
    gate = short === "W_hr" ? null : gates[Math.floor(row / H)],
    unit = row % H;
  const second = vector ? "" : `, ${column}`;
  const name = `${short}${gate ?? ""}[${unit}${second}]`;
  return { name, parameter: `${parameter}[${row}${second}]`, gate, unit, value: values[row * columns + column] };
}

/** The meaning of a matrix's columns. */
export function columnsText({ tracks }: Model, track: TrackInfo, { short }: Matrix): string {
  if (short === "W_h") return `h_prev: ${track.outputs}`;
  if (short === "W_hr") return `o·tanh(c): ${track.units}`;
  if (short !== "W_i") return "";
  const below = tracks
    .filter(({ layer }) => layer === track.layer - 1)
    .map(({ name, outputs }) => `${name}.h ${outputs}`);
  return `x: ${below.join(" | ") || track.inputSize}`;
}

/** colours range from -limit to limit */
export type Scale = { limit: number; beyond: number; count: number };

const WITHIN = 0.995; // share of all weights

export function weightScale(parts: readonly Float32Array[]): Scale {
  const sizes = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) for (const value of part) sizes[at++] = Math.abs(value);
  sizes.sort();
  const limit = nextRound(sizes[Math.floor(WITHIN * (sizes.length - 1))]);
  const inside = sizes.findLastIndex((value) => value <= limit) + 1;
  return { limit, beyond: sizes.length - inside, count: sizes.length };
}

export const weightRgb = (value: number, limit: number) => rgb("g", value, [-limit, limit]);

function inkOver(value: number, limit: number) {
  const [red, green, blue] = weightRgb(value, limit);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#16181d" : "#ffffff";
}

const READABLE = 34; // minimum pixels of a cell for its number to fit inside
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
export function farthest({ values, rows, columns, bands }: Matrix, down: number, across: number) {
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
