// The curve of a gate's activation function, with the current point.

import { type CellKind, activated } from "studio/runtime/kinds.js";
import { squashName } from "studio/state/moment.js";
import { format, tick } from "studio/ui/draw.js";

const SIZE = { width: 230, height: 86 };
const POINTS = 80;
const LEAST = 6; // the curve covers at least -6 to 6

export function Curve({ cell, gate, sum }: { cell: CellKind; gate: string; sum: number }) {
  const { width, height } = SIZE;
  const activation = cell.activations[gate];
  const reach = Math.max(LEAST, Math.min(99, Math.ceil(Math.abs(sum) || 0)));
  const [low, high] = [activation === "tanh" ? -1 : 0, activation === "relu" ? reach : 1];
  const x = (at: number) => (width * (at + reach)) / (2 * reach);
  const y = (value: number) => height * (1 - (Math.min(value, high) - low) / (high - low));
  const points = Array.from({ length: POINTS + 1 }, (_, k) => -reach + (2 * reach * k) / POINTS);
  const line = points.map((at) => `${x(at).toFixed(1)} ${y(activated(cell, gate, at)).toFixed(1)}`);
  const here = { x: x(Math.max(-reach, Math.min(reach, sum || 0))), y: y(activated(cell, gate, sum || 0)) };
  const colour = `var(--q-${gate})`;
  const label = (at: number, down: number, anchor: "start" | "middle" | "end", value: number) => (
    <text x={at} y={down} class="hs-tick" text-anchor={anchor}>
      {tick(value)}
    </text>
  );
  return (
    <>
      <rect {...SIZE} class="hs-frame" />
      <line x1={width / 2} x2={width / 2} y1={0} y2={height} class="hs-axis" />
      <path class="hs-guides" d={`M${here.x} ${y(low)}L${here.x} ${here.y}L${x(-reach)} ${here.y}`} />
      <path class="hs-curve" stroke={colour} d={`M${line.join("L")}`} />
      <circle cx={here.x} cy={here.y} r={5} fill={colour} class="hs-point" />
      {label(0, height + 14, "start", -reach)}
      {label(width, height + 14, "end", reach)}
      {label(width / 2, height + 14, "middle", 0)}
      {label(-6, 4, "end", high)}
      {label(-6, height + 4, "end", low)}
    </>
  );
}

/** "f = σ(-3.6271) = 0.0259". */
export function squashLine(cell: CellKind, gate: string, sum: number): string {
  return `${gate} = ${squashName(cell, gate)}(${format(sum)}) = ${format(activated(cell, gate, sum))}`;
}
