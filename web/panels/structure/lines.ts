// Lines with arrows in the picture of the unrolled network.

import { svg } from "studio/ui/draw.js";

/** the kind of flow: a cell state, a hidden state, an input */
export type Ink = "c" | "h" | "x";

const HEAD = 6; // size of an arrowhead

/** @param head whether it ends in an arrow */
export function line(x0: number, y0: number, x1: number, y1: number, ink: Ink, head: boolean): SVGElement {
  const [dx, dy] = [Math.sign(x1 - x0) * HEAD, Math.sign(y1 - y0) * HEAD];
  const arrow = head
    ? `M${x1} ${y1}L${x1 - dx - dy * 0.6} ${y1 - dy - dx * 0.6}M${x1} ${y1}L${x1 - dx + dy * 0.6} ${y1 - dy + dx * 0.6}`
    : "";
  return svg("path", { class: `st-line st-line-${ink}`, d: `M${x0} ${y0}L${x1} ${y1}${arrow}` });
}
