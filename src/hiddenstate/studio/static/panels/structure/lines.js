// Lines with arrows in the picture of the unrolled network.

import { svg } from "studio/ui/draw.js";

/** @typedef {"c" | "h" | "x"} Ink the kind of flow: a cell state, a hidden state, an input */

const HEAD = 6; // size of an arrowhead

/**
 * @param {number} x0
 * @param {number} y0
 * @param {number} x1
 * @param {number} y1
 * @param {Ink} ink
 * @param {boolean} head whether it ends in an arrow
 * @returns {SVGElement}
 */
export function line(x0, y0, x1, y1, ink, head) {
  const [dx, dy] = [Math.sign(x1 - x0) * HEAD, Math.sign(y1 - y0) * HEAD];
  const arrow = head
    ? `M${x1} ${y1}L${x1 - dx - dy * 0.6} ${y1 - dy - dx * 0.6}M${x1} ${y1}L${x1 - dx + dy * 0.6} ${y1 - dy + dx * 0.6}`
    : "";
  return svg("path", { class: `st-line st-line-${ink}`, d: `M${x0} ${y0}L${x1} ${y1}${arrow}` });
}
