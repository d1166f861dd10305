// One absolute scale for each kind of value, the same in every panel and for every sentence.
//
// i, f and o are in 0..1, g and h in -1..1, and c in ±c_max.

/** @typedef {import("studio/types.js").Run} Run */

const SEQUENTIAL_QUANTITIES = new Set(["i", "f", "o"]);

let cellRange = 1;

/**
 * Whether the values of a quantity are in 0..1.
 * @param {string} quantity
 * @returns {boolean}
 */
export function isSequential(quantity) {
  return SEQUENTIAL_QUANTITIES.has(quantity);
}

/**
 * Sets the scale of the cell state to the largest |c| of these runs, rounded up to 1, 1.5, 2, 3, ...
 * @param {readonly (Run | null)[]} runs
 */
export function fitCell(runs) {
  cellRange = Math.max(...runs.map((run) => (run === null ? 1 : cellMax(run))), 1);
}

/** @type {WeakMap<Run, number>} */
const KNOWN_MAX = new WeakMap();

/**
 * @param {Run} run
 * @returns {number} its largest |c| rounded up to 1, 1.5, 2, 3, ...
 */
function cellMax(run) {
  let max = KNOWN_MAX.get(run);
  if (max === undefined) KNOWN_MAX.set(run, (max = roundedUp(largest(run))));
  return max;
}

/** @param {Run} run */
function largest(run) {
  let max = 0;
  for (const { values } of run.tracks) for (const value of values.c ?? []) max = Math.max(max, Math.abs(value));
  return max;
}

/**
 * Rounds up to 1, 1.5, 2, 3, 4, 6, 8 or 10, or one of these times a power of ten; at least 1.
 * @param {number} value
 * @returns {number}
 */
export function roundedUp(value) {
  if (!(value > 1)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 1.5, 2, 3, 4, 6, 8, 10].find((step) => step * power >= value) ?? 10);
}

/**
 * @param {string} quantity
 * @returns {[number, number]} the ends of its scale
 */
export function range(quantity) {
  if (isSequential(quantity)) return [0, 1];
  return quantity === "c" ? [-cellRange, cellRange] : [-1, 1];
}

/**
 * How far a quantity's scale reaches from zero in a run.
 * @param {string} quantity
 * @param {Run | null} run
 * @returns {number}
 */
export function limitOf(quantity, run) {
  return quantity === "c" ? Math.max(cellRange, run === null ? 1 : cellMax(run)) : 1;
}

/**
 * Returns the next round number: 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten.
 * @param {number} value
 * @returns {number}
 */
export function nextRound(value) {
  if (!(value > 0 && value < Infinity)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8].find((one) => one * power >= value) ?? 10;
  return Number((step * power).toPrecision(2));
}
