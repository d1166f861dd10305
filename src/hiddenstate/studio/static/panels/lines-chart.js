// One unit's chart: two bands of three lines each, and the numbers at the cursor.

import { label, set, svg } from "studio/app/draw.js";
import { quantityColour, roundedUp } from "studio/app/scales.js";
import { shortToken } from "studio/app/tokens.js";
import { valueAt, widthOf } from "studio/app/units.js";

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {{model: Model, run: Run, track: Track, unit: number, width: number, tokens: boolean, reach: number}} ChartOf
 *   `reach`: how far c goes from zero */
/** @typedef {{root: SVGSVGElement, show: (step: number) => void, height: number}} Chart */
/** @typedef {{names: string[], low: number, high: number, top: number, height: number}} Band */

const LEFT = 76;
const RIGHT = 84;
const TOP = 8;
const GATES_HEIGHT = 50;
const MEMORY_HEIGHT = 66;
const BETWEEN = 12;
const ROW = 17; // of the numbers on the right
const TOKENS_HEIGHT = 60;
const TOKEN_SPACE = 14;

/**
 * @param {ChartOf} given
 * @returns {Chart}
 */
export function createChart(given) {
  const { model, run, track, unit, width, tokens, reach } = given;
  const all = bands(model, reach);
  const last = /** @type {Band} */ (all.at(-1));
  const bottom = last.top + last.height;
  const height = bottom + (tokens ? TOKENS_HEIGHT : 10);
  const cursor = svg("line", { y1: TOP, y2: bottom, class: "cursor" });
  const dots = all.flatMap(({ names }) => names.filter((name) => has(track, name, unit)).map((name) => dot(name)));
  const numbers = all.flatMap((band) => band.names.map((name, k) => number(name, band, k, width)));
  const root = svg("svg", { class: "lines-chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }, [
    label(0, TOP + 11, "lines-unit", "start", `unit ${unit}`),
    ...all.flatMap((band) => [...frame(band, width), ...band.names.map((name) => line(given, band, name))]),
    cursor, ...dots.map(({ root: circle }) => circle), ...numbers.map(({ root: group }) => group),
    ...(tokens ? words(run, width, bottom) : []),
  ]);
  const show = (/** @type {number} */ step) => {
    const x = xOf(step, width, run.steps);
    set(cursor, "x1", x);
    set(cursor, "x2", x);
    for (const { name, root: circle } of dots) {
      const band = /** @type {Band} */ (all.find(({ names }) => names.includes(name)));
      set(circle, "cx", x);
      set(circle, "cy", yOf(valueAt(track, name, unit, step), band));
    }
    for (const { name, write } of numbers) write(valueAt(track, name, unit, step));
    set(root, "aria-label", spoken(given, step));
  };
  return { root, show, height };
}

/**
 * How far the charts of some units must reach from zero: one scale for all of them.
 * @param {Run} run
 * @param {Track} track
 * @param {readonly number[]} units
 * @returns {number}
 */
export function reachOf(run, track, units) {
  const values = units.flatMap((unit) => run.tokens.map((_, t) => Math.abs(valueAt(track, "c", unit, t))));
  return roundedUp(values.reduce((most, value) => Math.max(most, value), 0));
}

/**
 * @param {Model} model
 * @param {number} reach
 * @returns {Band[]}
 */
function bands({ quantities }, reach) {
  const gates = quantities.filter((name) => "ifo".includes(name));
  const memory = quantities.filter((name) => !gates.includes(name));
  return [
    { names: gates, low: 0, high: 1, top: TOP, height: GATES_HEIGHT },
    { names: memory, low: -reach, high: reach, top: TOP + GATES_HEIGHT + BETWEEN, height: MEMORY_HEIGHT },
  ];
}

/**
 * @param {number} t
 * @param {number} width
 * @param {number} steps
 */
function xOf(t, width, steps) {
  return LEFT + ((t + 0.5) * (width - LEFT - RIGHT)) / Math.max(1, steps);
}

/**
 * @param {number} x
 * @param {number} width of the chart
 * @param {number} steps
 * @returns {number | null} the step there
 */
export function stepAt(x, width, steps) {
  const step = Math.floor(((x - LEFT) * steps) / (width - LEFT - RIGHT));
  return step >= 0 && step < steps ? step : null;
}

/**
 * @param {number} value
 * @param {Band} band
 */
function yOf(value, { low, high, top, height }) {
  const share = (Math.min(Math.max(value, low), high) - low) / (high - low);
  return top + height * (1 - (Number.isFinite(share) ? share : 0));
}

/**
 * @param {Track} track
 * @param {string} name
 * @param {number} unit
 */
function has(track, name, unit) {
  return unit < widthOf(track, name);
}

/**
 * @param {ChartOf} given
 * @param {Band} band
 * @param {string} name
 */
function line({ run, track, unit, width }, band, name) {
  const points = !has(track, name, unit) ? [] : run.tokens.map((_, t) =>
    `${xOf(t, width, run.steps).toFixed(1)},${yOf(valueAt(track, name, unit, t), band).toFixed(1)}`);
  return svg("polyline", { points: points.join(" "), class: "lines-line", stroke: quantityColour(name) });
}

/** @param {string} name */
function dot(name) {
  return { name, root: svg("circle", { r: 3.2, class: "lines-dot", fill: quantityColour(name) }) };
}

/**
 * @param {string} name
 * @param {Band} band
 * @param {number} k
 * @param {number} width
 */
function number(name, { top, height, names }, k, width) {
  const y = top + height / 2 + (k - (names.length - 1) / 2) * ROW + 4;
  const value = label(width - 2, y, "lines-number", "end");
  const letter = label(width - RIGHT + 14, y, "lines-letter", "start", name);
  letter.style.fill = quantityColour(name);
  const write = (/** @type {number} */ given) => (value.textContent = Number.isFinite(given) ? given.toFixed(4) : "\u2013");
  return { name, root: svg("g", {}, [letter, value]), write };
}

/**
 * @param {Band} band
 * @param {number} width
 */
function frame(band, width) {
  const marks = band.low === 0 ? [0, 1] : [band.low, 0, band.high];
  return marks.flatMap((value) => {
    const y = Math.round(yOf(value, band)) + 0.5;
    return [
      svg("line", { x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: value === 0 ? "axis" : "axis faint" }),
      label(LEFT - 6, y + 3.5, "tick", "end", String(value).replace("-", "\u2212")),
    ];
  });
}

/**
 * @param {Run} run
 * @param {number} width
 * @param {number} bottom
 */
function words(run, width, bottom) {
  const pitch = (width - LEFT - RIGHT) / Math.max(1, run.steps);
  const every = Math.max(1, Math.ceil(TOKEN_SPACE / pitch));
  return run.tokens.flatMap((token, t) => {
    if (t % every !== 0) return [];
    const [x, y] = [xOf(t, width, run.steps) + 3, bottom + 14];
    return [svg("text", { x, y, class: "tick word-tick", "text-anchor": "end", transform: `rotate(-40 ${x} ${y})`, text: shortToken(token, 11) })];
  });
}

/**
 * @param {ChartOf} given
 * @param {number} step
 */
function spoken({ model, run, track, unit }, step) {
  const values = model.quantities.map((name) => `${name} ${valueAt(track, name, unit, step).toFixed(2)}`);
  return `Unit ${unit} of ${track.info.name} at step ${step}, ${run.tokens[step] ?? ""}: ${values.join(", ")}`;
}
