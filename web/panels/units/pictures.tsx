// The pictures of a unit's card: its distribution, and the cost of zeroing it.

import { parseAddress, type UnitCard } from "studio/state/corpus.js";
import { exactly, tick } from "studio/ui/draw.js";
import { quantityColour } from "studio/ui/scales.js";

const SIZE = { width: 360, height: 96, foot: 16 };

export function Histogram({ card: { unit, histogram, edges, quantiles, mean } }: { card: UnitCard }) {
  const { width, height, foot } = SIZE;
  const most = Math.max(...histogram, 1);
  const total = histogram.reduce((sum, count) => sum + count, 0);
  const [step, room] = [width / histogram.length, height - foot - 4];
  const shares = quantiles.map(([share, value]) => `${Math.round(share * 100)} % below ${exactly(value)}`);
  return (
    <svg
      {...{ class: "unit-distribution", viewBox: `0 0 ${width} ${height}`, role: "img" }}
      aria-label={`Distribution of ${unit}: mean ${exactly(mean)}, ${shares.join(", ")}`}
    >
      <g fill={quantityColour(parseAddress(unit).quantity)}>
        {histogram.map((count, k) => {
          const high = (count / most) * room;
          return (
            <rect x={k * step + 0.5} y={height - foot - high} width={step - 1} height={high}>
              <title>
                {`${edge(edges[k])} to ${edge(edges[k + 1])}: ${((100 * count) / Math.max(total, 1)).toFixed(1)} %`}
              </title>
            </rect>
          );
        })}
      </g>
      <line x1={0} x2={width} y1={height - foot} y2={height - foot} class="axis" />
      {[0, histogram.length / 2, histogram.length].map((at, k) => (
        <text
          {...{ x: (k * width) / 2, y: height - 3, class: "legend-tick" }}
          text-anchor={(["start", "middle", "end"] as const)[k]}
        >
          {edge(edges[at])}
        </text>
      ))}
    </svg>
  );
}

/** @param value null: no bound */
function edge(value: number | null) {
  return value === null ? "no bound" : tick(Number(value.toPrecision(3)));
}

/** The cost of zeroing the unit compared with units of the same size, two bars each. */
export function Effects({ card: { effect, held, matched, label, cost_name: cost } }: { card: UnitCard }) {
  const all = [effect, { ...held, unit: "held at its mean" }, ...matched];
  const most = Math.max(...all.flatMap(({ there, elsewhere }) => [Math.abs(there), Math.abs(elsewhere)]), 1e-12);
  const bar = (value: number) => (
    <td class={value < 0 ? "gain" : ""}>
      <span class="effect-bar" style={{ width: `${(62 * Math.abs(value)) / most}px` }} />
      <span class="number">{exactly(value)}</span>
    </td>
  );
  return (
    <table class="unit-effects">
      <caption>
        {`${cost[0].toUpperCase()}${cost.slice(1)}, on average: this unit, and units of about the same size`}
      </caption>
      <thead>
        <tr>
          <th scope="col">If zeroed</th>
          {label !== "" && <th scope="col">{`at ${label}`}</th>}
          <th scope="col">{label === "" ? "everywhere" : "elsewhere"}</th>
        </tr>
      </thead>
      <tbody>
        {all.map(({ unit, there, elsewhere }, k) => (
          <tr class={k < 2 ? "own" : ""}>
            <th scope="row">{unit}</th>
            {label !== "" && bar(there)}
            {bar(elsewhere)}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
