// The scale of a quantity's colours.

import { scaleLimit, range } from "studio/state/ranges.js";
import type { Run } from "studio/types.js";
import { tick } from "studio/ui/draw.js";
import { colour } from "studio/ui/scales.js";

const WIDTH = 168;
const BAR = 8;
const STEPS = 64;

/** The scale as a bar, labelled at its ends and in the middle; `run`: whose scale, if not the current one. */
export function Legend({ quantity, run = null }: { quantity: string; run?: Run | null }) {
  const high = scaleLimit(quantity, run);
  const low = range(quantity)[0] === 0 ? 0 : -high;
  return (
    <svg
      {...{ class: "legend", width: WIDTH + 16, height: 24, viewBox: `-8 0 ${WIDTH + 16} 24`, role: "img" }}
      aria-label={`Colours of ${quantity} from ${low} to ${high}`}
    >
      {Array.from({ length: STEPS }, (_, k) => (
        <rect
          {...{ x: (k * WIDTH) / STEPS, y: 0, width: WIDTH / STEPS + 0.5, height: BAR }}
          fill={colour(quantity, low + ((k + 0.5) / STEPS) * (high - low))}
        />
      ))}
      {[low, (low + high) / 2, high].map((value, k) => (
        <text x={(k * WIDTH) / 2} y={21} text-anchor={(["start", "middle", "end"] as const)[k]} class="legend-tick">
          {tick(value)}
        </text>
      ))}
    </svg>
  );
}
