// The curve of a gate's activation function, with the current point.

import { type CellKind, activated } from "studio/runtime/kinds.js";
import { squashName } from "studio/state/moment.js";
import { format, svg, tick } from "studio/ui/draw.js";
import { text } from "studio/ui/svg-parts.js";

const SIZE = { width: 230, height: 86 };
const POINTS = 80;
const LEAST = 6; // the curve covers at least -6 to 6

export function curve(cell: CellKind, gate: string): { root: SVGElement; draw: (sum: number) => void } {
  const activation = cell.activations[gate];
  const low = activation === "tanh" ? -1 : 0;
  const line = svg("path", { class: "hs-curve", stroke: `var(--q-${gate})` });
  const guides = svg("path", { class: "hs-guides" });
  const point = svg("circle", { r: 5, fill: `var(--q-${gate})`, class: "hs-point" });
  const labels = [text(0, SIZE.height + 14, "hs-tick", "start"), text(SIZE.width, SIZE.height + 14, "hs-tick", "end")];
  const sides = [text(-6, 4, "hs-tick", "end"), text(-6, SIZE.height + 4, "hs-tick", "end", tick(low))];
  const draw = (sum: number) => {
    const reach = Math.max(LEAST, Math.min(99, Math.ceil(Math.abs(sum) || 0)));
    const high = activation === "relu" ? reach : 1;
    const y = (value: number) => SIZE.height * (1 - (Math.min(value, high) - low) / (high - low));
    sides[0].textContent = tick(high);
    const x = (at: number) => (SIZE.width * (at + reach)) / (2 * reach);
    line.setAttribute(
      "d",
      pathOf((at) => activated(cell, gate, at), reach, x, y),
    );
    labels.forEach((label, k) => (label.textContent = tick(k === 0 ? -reach : reach)));
    mark(
      point,
      guides,
      x(Math.max(-reach, Math.min(reach, sum || 0))),
      y(activated(cell, gate, sum || 0)),
      y(low),
      x(-reach),
    );
  };
  const frame = svg("rect", { ...SIZE, class: "hs-frame" });
  const zero = svg("line", { x1: SIZE.width / 2, x2: SIZE.width / 2, y1: 0, y2: SIZE.height, class: "hs-axis" });
  const middle = text(SIZE.width / 2, SIZE.height + 14, "hs-tick", "middle", "0");
  return { root: svg("g", {}, [frame, zero, guides, line, point, ...labels, middle, ...sides]), draw };
}

function pathOf(
  f: (at: number) => number,
  reach: number,
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  const points = Array.from({ length: POINTS + 1 }, (_, k) => -reach + (2 * reach * k) / POINTS);
  return `M${points.map((at) => `${x(at).toFixed(1)} ${y(f(at)).toFixed(1)}`).join("L")}`;
}

/** @param guides from the axes to the point */
function mark(point: SVGElement, guides: SVGElement, x: number, y: number, bottom: number, left: number) {
  point.setAttribute("cx", String(x));
  point.setAttribute("cy", String(y));
  guides.setAttribute("d", `M${x} ${bottom}L${x} ${y}L${left} ${y}`);
}

/** "f = σ(-3.6271) = 0.0259". */
export function squashLine(cell: CellKind, gate: string, sum: number): string {
  return `${gate} = ${squashName(cell, gate)}(${format(sum)}) = ${format(activated(cell, gate, sum))}`;
}
