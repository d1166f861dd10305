// The scale of a quantity's colours.

import { scaleLimit, range } from "studio/state/ranges.js";
import type { Run } from "studio/types.js";
import { tick } from "studio/ui/draw.js";
import { colour } from "studio/ui/scales.js";
import { Text, ANCHORS } from "studio/ui/stage.js";

const BAR = 8; // height
const STEPS = 64;

/** The scale as a bar, labelled at its ends and in the middle; `run`: whose scale, if not the current one. */
export function Legend({ quantity, run = null }: { quantity: string; run?: Run | null }) {
  const high = scaleLimit(quantity, run);
  const low = range(quantity)[0] === 0 ? 0 : -high;
  return (
    <ScaleBar
      {...{ class: "legend", width: 168, margin: 8, ends: [low, high], label: `Colours of ${quantity}` }}
      fill={(share) => colour(quantity, low + share * (high - low))}
    />
  );
}

interface ScaleProps {
  class?: string;
  width: number;
  margin: number;
  ends: readonly [number, number];
  label: string; // what the colours are of
  fill: (share: number) => string; // the colour of a value, whose share of the scale this is
}

export function ScaleBar({ class: name, width, margin, ends: [low, high], label, fill }: ScaleProps) {
  const all = width + 2 * margin;
  return (
    <svg
      {...{ class: name, width: all, height: 24, viewBox: `-${margin} 0 ${all} 24`, role: "img" }}
      aria-label={`${label} from ${low} to ${high}`}
    >
      {Array.from({ length: STEPS }, (_, k) => (
        <rect
          {...{ x: (k * width) / STEPS, y: 0, width: width / STEPS + 0.5, height: BAR }}
          fill={fill((k + 0.5) / STEPS)}
        />
      ))}
      {[low, (low + high) / 2, high].map((value, k) => (
        <Text x={(k * width) / 2} y={21} anchor={ANCHORS[k]} kind="legend-tick" text={tick(value)} />
      ))}
    </svg>
  );
}
