// The layout of the matrices of one layer and direction: side by side, at the same scale, with gates aligned.

/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/types.js").TrackWeights} TrackWeights */

/**
 * @typedef {object} Matrix
 * @property {string} parameter "weight_ih_l0"
 * @property {string} short "W_i", completed by a gate's letter; "W_hr" for a projection
 * @property {Float32Array} values [rows, columns]
 * @property {number} rows
 * @property {number} columns
 * @property {number} bands the number of stacked gates; 1 for a projection, and for a plain RNN
 * @property {boolean} vector whether it is a bias: one column, with no index in its name
 */

/**
 * @typedef {object} Placed a matrix in its place, in pixels
 * @property {Matrix} matrix
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {number} cellWidth of one weight; less than a pixel if several share one
 * @property {number} cellHeight
 */

const LARGEST = 40; // maximum number of pixels per weight
const TALLEST = 512; // preferred minimum width of a matrix
const TITLE = 40;
const NAMES = 52; // room for the band names before each matrix
const BETWEEN = 18;
const VECTOR = 10; // minimum width of a bias in pixels
const LETTER = 6.7; // width of a letter in a title, in pixels
const APART = 40; // space to the right of a matrix, which the title of a narrow bias may use

/**
 * @param {TrackInfo} track
 * @param {TrackWeights} weights
 * @returns {Matrix[]}
 */
export function matricesOf(track, weights) {
  const { units, inputSize, outputs, layer, reverse } = track,
    suffix = `_l${layer}${reverse ? "_reverse" : ""}`;
  const bands = weights.weight_ih.length / (units * inputSize);
  const made = [
    matrix("weight_ih", "W_i", weights.weight_ih, bands, units, inputSize),
    matrix("weight_hh", "W_h", weights.weight_hh, bands, units, outputs),
    weights.bias_ih && matrix("bias_ih", "b_i", weights.bias_ih, bands, units, 1),
    weights.bias_hh && matrix("bias_hh", "b_h", weights.bias_hh, bands, units, 1),
    weights.weight_hr && matrix("weight_hr", "W_hr", weights.weight_hr, 1, outputs, units),
  ];
  return made.filter((one) => one !== null).map((one) => ({ ...one, parameter: one.parameter + suffix }));
}

/**
 * @param {string} parameter
 * @param {string} short
 * @param {Float32Array} values
 * @param {number} bands
 * @param {number} units rows of a band
 * @param {number} columns
 * @returns {Matrix}
 */
function matrix(parameter, short, values, bands, units, columns) {
  return { parameter, short, values, rows: bands * units, columns, bands, vector: parameter.startsWith("bias") };
}

/**
 * @typedef {object} Figure
 * @property {Placed[]} placed
 * @property {number} width
 * @property {number} height
 * @property {number} pixel the size of a weight in CSS pixels
 * @property {number} block weights along each side of one drawn point
 */

/**
 * Places the matrices side by side, as large as fits. If one pixel per weight is too much, several weights share a
 * pixel.
 * @param {readonly Matrix[]} matrices
 * @param {number} width
 * @returns {Figure}
 */
export function figureOf(matrices, width) {
  const fixed = matrices.reduce((sum, { vector }) => sum + NAMES + BETWEEN + (vector ? VECTOR : 0), 0);
  const columns = matrices.reduce((sum, one) => sum + (one.vector ? 0 : one.columns), 0);
  const rows = Math.max(...matrices.map((one) => one.rows));
  const fits = Math.min((width - fixed) / columns, TALLEST / rows, LARGEST);
  const pixel = fits >= 1 ? Math.floor(fits) : 1 / Math.max(1, Math.ceil(1 / Math.max(fits, 1 / 64)));
  let x = 0;
  const placed = matrices.map((matrix) => {
    const cellWidth = matrix.vector ? Math.max(VECTOR, pixel) : pixel;
    const one = {
      matrix,
      x: x + NAMES,
      y: TITLE,
      width: matrix.columns * cellWidth,
      height: matrix.rows * pixel,
      cellWidth,
      cellHeight: pixel,
    };
    x += Math.max(NAMES + one.width + BETWEEN, matrix.vector ? 0 : matrix.parameter.length * LETTER + APART);
    return one;
  });
  return {
    placed,
    width: Math.max(x, 200),
    height: TITLE + rows * pixel + 26,
    pixel,
    block: Math.round(Math.max(1, 1 / pixel)),
  };
}

/** @typedef {{placed: Placed, row: number, column: number}} Spot one weight */

/**
 * The weight at a point of the figure.
 * @param {Figure} figure
 * @param {number} x
 * @param {number} y
 * @returns {Spot | null}
 */
export function spotAt({ placed }, x, y) {
  for (const one of placed) {
    const column = Math.floor((x - one.x) / one.cellWidth),
      row = Math.floor((y - one.y) / one.cellHeight);
    if (column >= 0 && column < one.matrix.columns && row >= 0 && row < one.matrix.rows)
      return { placed: one, row, column };
  }
  return null;
}

/**
 * A weight's name by gate, and its position in torch's parameter.
 * @param {Matrix} matrix
 * @param {readonly string[]} gates
 * @param {number} row
 * @param {number} column
 * @returns {{name: string, parameter: string, gate: string | null, unit: number, value: number}}
 */
export function weightAt({ short, parameter, values, rows, columns, bands, vector }, gates, row, column) {
  const H = rows / bands,
    gate = short === "W_hr" ? null : gates[Math.floor(row / H)],
    unit = row % H;
  const second = vector ? "" : `, ${column}`;
  return {
    name: `${short}${gate ?? ""}[${unit}${second}]`,
    parameter: `${parameter}[${row}${second}]`,
    gate,
    unit,
    value: values[row * columns + column],
  };
}
