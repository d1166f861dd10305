// The matrices as a vector graphic: the points as an image, everything else as lines and text.

import { barPicture } from "studio/panels/structure/bar.js";
import type { Figure, Matrix, Placed } from "studio/panels/structure/layout.js";
import { pointsOf, READABLE, STRIP } from "studio/panels/structure/matrix.js";
import { inkOver } from "studio/panels/structure/scale.js";
import { svg } from "studio/ui/draw.js";

const HEAD = 30;
const FOOT = 34;

/**
 * @param limit of the colours
 * @param below the text under a matrix
 */
export function weightsPicture(
  figure: Figure,
  gates: readonly string[],
  limit: number,
  below: (matrix: Matrix) => string,
  title: string,
): SVGSVGElement {
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

function points({ matrix, x, y, width, height }: Placed, block: number, limit: number) {
  const href = pointsOf(matrix, block, limit).toDataURL();
  return [
    svg("image", { href, x, y, width, height, preserveAspectRatio: "none", class: "weights-points" }),
    svg("rect", { x: x - 0.5, y: y - 0.5, width: width + 1, height: height + 1, class: "weights-frame" }),
  ];
}

function numbers({ matrix, x, y, cellWidth, cellHeight }: Placed, limit: number) {
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

function bands({ matrix, x, y, width, height }: Placed, gates: readonly string[]) {
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

function titles({ matrix, x, y, width, height }: Placed, below: string) {
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
