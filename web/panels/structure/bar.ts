// The colour scale of the weights, drawn as a bar.

import { rgbOf } from "studio/panels/structure/scale.js";
import { element, svg, tick } from "studio/ui/draw.js";

const SIZE = { width: 150, height: 8 };
const STEPS = 61;

export function colourBar() {
  const root = element("span", { class: "st-bar" });
  return { root, draw: (limit: number) => root.replaceChildren(barPicture(limit)) };
}

export function barPicture(limit: number): SVGSVGElement {
  const cells = Array.from({ length: STEPS }, (_, k) =>
    svg("rect", {
      x: (k * SIZE.width) / STEPS,
      width: SIZE.width / STEPS + 0.5,
      height: SIZE.height,
      fill: `rgb(${rgbOf(limit * ((2 * k) / (STEPS - 1) - 1), limit).join(", ")})`,
    }),
  );
  const ticks = [-limit, 0, limit].map((value, k) =>
    svg("text", {
      x: (k * SIZE.width) / 2,
      y: 21,
      "text-anchor": ["start", "middle", "end"][k],
      class: "legend-tick",
      text: tick(value),
    }),
  );
  return svg(
    "svg",
    {
      width: SIZE.width + 4,
      height: 24,
      viewBox: `-2 0 ${SIZE.width + 4} 24`,
      role: "img",
      "aria-label": `Colours from ${-limit} to ${limit}`,
    },
    [...cells, ...ticks],
  );
}
