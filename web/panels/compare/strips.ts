// The ribbons of all layers and directions, stacked, and the names of the figure's rows.

import { type Layout, GUTTER, RIBBON, RIBBON_HEAD } from "studio/panels/compare/layout.js";
import { type Strip, marksOf, strands } from "studio/panels/compare/ribbon.js";
import type { Scene } from "studio/panels/compare/types.js";
import { svg } from "studio/ui/draw.js";
import { text } from "studio/ui/svg-parts.js";

export function rowLabel(words: string, y: number, kind: string = "") {
  const short = words.length > 8 ? `${words.slice(0, 7)}…` : words;
  return svg("text", { class: `row-label ${kind}`, x: GUTTER - 10, y, "text-anchor": "end", text: short }, [
    svg("title", { text: words }),
  ]);
}

/** The title of the ribbons. */
export function ribbonTitle({ strips, state }: Scene, layout: Layout): SVGElement {
  const says = `distance in ${state}, ‖Δ${state}‖: a gap of full height is ${boundOf(strips)}`;
  return text(layout.left, layout.ribbons + 13, "ribbon-title", "start", says, layout.total - layout.left);
}

export function ribbons({ strips, a }: Scene, layout: Layout): SVGElement[] {
  const bound = boundOf(strips);
  return strips.flatMap((strip, k) => {
    const y = layout.ribbons + RIBBON_HEAD + k * RIBBON;
    const where = {
      y,
      height: RIBBON - 6,
      centre: layout.centre,
      column: layout.column,
      scale: (RIBBON - 10) / bound,
    };
    const chosen = strip.name === a?.info.name;
    return [
      svg("g", { class: chosen ? "ribbon chosen" : "ribbon", "data-track": strip.name }, [
        svg("rect", {
          class: "band",
          x: layout.left,
          y,
          width: layout.total - layout.left,
          height: RIBBON - 6,
          rx: 3,
        }),
        ...strands(strip, where),
        ...marksOf(strip).map((mark) => markText(mark, strip, where, layout)),
        rowLabel(`${strip.name} ${strip.reverse ? "◂" : "▸"}`, y + RIBBON / 2, chosen ? "chosen" : ""),
      ]),
    ];
  });
}

/**
 * The greatest distance is labelled between the strands if there is room; other labels are at the column's edge.
 */
function markText(
  { k, text, kind }: { k: number; text: string; kind: string },
  { distance, reverse }: Strip,
  { y, height, scale }: { y: number; height: number; scale: number },
  layout: Layout,
) {
  if (kind === "widest") {
    const roomy = distance[k] * scale > 18;
    return svg("text", { class: "ribbon-mark", x: layout.centre(k), y: roomy ? y + height / 2 + 4 : y + 11, text });
  }
  const side = reverse ? 1 : -1;
  const x = layout.centre(k) + side * (layout.column / 2 - 5);
  return svg("text", {
    class: `ribbon-mark ${kind}`,
    x,
    y: y + height - 4,
    "text-anchor": reverse ? "end" : "start",
    text,
  });
}

/** The greatest distance, rounded up. */
function boundOf(strips: Strip[]): number {
  const most = Math.max(
    0.1,
    ...strips.flatMap(({ distance }) => Array.from(distance).filter((size) => !Number.isNaN(size))),
  );
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((one) => one * power >= most * 0.999) ?? 10;
  return Number((step * power).toPrecision(2));
}
