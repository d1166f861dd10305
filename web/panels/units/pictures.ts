// The pictures of a unit's card: its distribution, and the cost of zeroing it.

import { type UnitCard, type ZeroEffect, unitOf } from "studio/state/corpus.js";
import { element, exactly, svg, tick } from "studio/ui/draw.js";
import { quantityColour } from "studio/ui/scales.js";

const SIZE = { width: 360, height: 96, foot: 16 };

export function distribution({ unit, histogram, edges, quantiles, mean }: UnitCard): SVGSVGElement {
  const { width, height, foot } = SIZE;
  const most = Math.max(...histogram, 1);
  const total = histogram.reduce((sum, count) => sum + count, 0);
  const [step, room] = [width / histogram.length, height - foot - 4];
  const bars = histogram.map((count, k) => {
    const high = (count / most) * room;
    return svg("rect", { x: k * step + 0.5, y: height - foot - high, width: step - 1, height: high }, [
      svg("title", {
        text: `${edge(edges[k])} to ${edge(edges[k + 1])}: ${((100 * count) / Math.max(total, 1)).toFixed(1)} %`,
      }),
    ]);
  });
  const middle = histogram.length / 2;
  const ends = [edges[0], edges[middle], edges[histogram.length]].map((value, k) =>
    svg("text", {
      x: (k * width) / 2,
      y: height - 3,
      "text-anchor": ["start", "middle", "end"][k],
      class: "legend-tick",
      text: edge(value),
    }),
  );
  const label = `Distribution of ${unit}: mean ${exactly(mean)}, ${quantiles.map(([share, value]) => `${Math.round(share * 100)} % below ${exactly(value)}`).join(", ")}`;
  const fill = quantityColour(unitOf(unit).quantity);
  return svg(
    "svg",
    { class: "unit-distribution", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    [
      svg("g", { fill }, bars),
      svg("line", { x1: 0, x2: width, y1: height - foot, y2: height - foot, class: "axis" }),
      ...ends,
    ],
  );
}

/** @param value null: no bound */
function edge(value: number | null) {
  return value === null ? "no bound" : tick(Number(value.toPrecision(3)));
}

/** The cost of zeroing the unit compared with units of the same size, two bars each. */
export function effects({ effect, held, matched, label, cost_name: cost }: UnitCard): HTMLElement {
  const all = [effect, { ...held, unit: "held at its mean" }, ...matched];
  const most = Math.max(...all.flatMap(({ there, elsewhere }) => [Math.abs(there), Math.abs(elsewhere)]), 1e-12);
  const bar = (value: number) =>
    element("td", { class: value < 0 ? "gain" : "" }, [
      element("span", { class: "effect-bar", style: { width: `${(62 * Math.abs(value)) / most}px` } }),
      element("span", { class: "number", text: exactly(value) }),
    ]);
  const row = (one: ZeroEffect, k: number) =>
    element("tr", { class: k < 2 ? "own" : "" }, [
      element("th", { scope: "row", text: one.unit }),
      ...(label === "" ? [] : [bar(one.there)]),
      bar(one.elsewhere),
    ]);
  const heads = ["If zeroed", ...(label === "" ? [] : [`at ${label}`]), label === "" ? "everywhere" : "elsewhere"];
  return element("table", { class: "unit-effects" }, [
    element("caption", {
      text: `${cost[0].toUpperCase()}${cost.slice(1)}, on average: this unit, and units of about the same size`,
    }),
    element("thead", {}, [
      element(
        "tr",
        {},
        heads.map((text) => element("th", { scope: "col", text })),
      ),
    ]),
    element("tbody", {}, all.map(row)),
  ]);
}
