// The matrices as a vector graphic: the points as an image, everything else as lines and text.

import { barPicture } from "studio/panels/structure/bar.js";
import { pointsOf, READABLE, STRIP } from "studio/panels/structure/matrix.js";
import { inkOver } from "studio/panels/structure/scale.js";
import { svg } from "studio/ui/draw.js";

/** @typedef {import("studio/panels/structure/layout.js").Figure} Figure */
/** @typedef {import("studio/panels/structure/layout.js").Matrix} Matrix */
/** @typedef {import("studio/panels/structure/layout.js").Placed} Placed */

const HEAD = 30;
const FOOT = 34;

/**
 * @param {Figure} figure
 * @param {readonly string[]} gates
 * @param {number} limit of the colours
 * @param {(matrix: Matrix) => string} below the text under a matrix
 * @param {string} title
 * @returns {SVGSVGElement}
 */
export function weightsPicture(figure, gates, limit, below, title) {
  const [width, height] = [figure.width, figure.height + HEAD + FOOT];
  const key = barPicture(limit);
  key.setAttribute("x", "8");
  key.setAttribute("y", String(figure.height + HEAD + 4));
  const matrices = figure.placed.flatMap((placed) => [
    ...points(placed, figure.block, limit),
    ...numbers(placed, limit),
    ...bands(placed, gates),
    ...titles(placed, below(placed.matrix)),
  ]);
  return svg("svg", { class: "weights-picture", width, height, viewBox: `0 0 ${width} ${height}` }, [
    svg("text", { x: 8, y: 18, class: "picture-title", text: title }),
    svg("g", { transform: `translate(0 ${HEAD})` }, matrices),
    key,
  ]);
}

/**
 * @param {Placed} placed
 * @param {number} block
 * @param {number} limit
 */
function points({ matrix, x, y, width, height }, block, limit) {
  const href = pointsOf(matrix, block, limit).toDataURL();
  return [
    svg("image", { href, x, y, width, height, preserveAspectRatio: "none", class: "weights-points" }),
    svg("rect", { x: x - 0.5, y: y - 0.5, width: width + 1, height: height + 1, class: "weights-frame" }),
  ];
}

/**
 * @param {Placed} placed
 * @param {number} limit
 */
function numbers({ matrix, x, y, cellWidth, cellHeight }, limit) {
  if (cellWidth < READABLE) return [];
  return Array.from(matrix.values, (value, k) =>
    svg("text", {
      x: x + ((k % matrix.columns) + 0.5) * cellWidth,
      y: y + (Math.floor(k / matrix.columns) + 0.5) * cellHeight + 3.5,
      class: "weights-number",
      fill: inkOver(value, limit),
      text: value.toFixed(2),
    }),
  );
}

/**
 * @param {Placed} placed
 * @param {readonly string[]} gates
 */
function bands({ matrix, x, y, width, height }, gates) {
  const band = height / matrix.bands;
  return Array.from({ length: matrix.bands }, (_, k) => {
    const [gate, top] = [matrix.bands === 1 ? "" : gates[k], y + k * band];
    const style = { fill: gate ? `var(--q-${gate})` : "var(--ink-soft)" };
    return svg("g", {}, [
      svg("rect", { x: x - STRIP - 4, y: top + 1, width: STRIP, height: band - 2, style }),
      svg("text", { x: x - STRIP - 9, y: top + band / 2 + 4, class: "weights-gate", style, text: matrix.short + gate }),
      k === 0 ? null : svg("rect", { x, y: top - 0.5, width, height: 1, class: "weights-gap" }),
    ]);
  });
}

/**
 * @param {Placed} placed
 * @param {string} below
 */
function titles({ matrix, x, y, width, height }, below) {
  const slim = matrix.vector;
  const [at, anchor] = slim ? [x + width / 2 - 10, "middle"] : [x, "start"];
  const [name, shape] = slim
    ? [matrix.parameter.split("_l")[0], `${matrix.rows}`]
    : [matrix.parameter, `${matrix.rows}×${matrix.columns}`];
  return [
    svg("text", { x: at, y: y - 22, class: "weights-name", "text-anchor": anchor, text: name }),
    svg("text", { x: at, y: y - 8, class: "weights-shape", "text-anchor": anchor, text: shape }),
    svg("text", { x, y: y + height + 16, class: "picture-label", text: below }),
  ];
}
