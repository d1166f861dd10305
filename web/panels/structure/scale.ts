// The colour scale of the weights, one per layer and direction, with the number of weights outside it.

import { nextRound } from "studio/state/ranges.js";
import { rgb } from "studio/ui/scales.js";

/** colours range from -limit to limit */
export type Scale = { limit: number; beyond: number; count: number };

const WITHIN = 0.995; // share of all weights

export function weightScale(parts: readonly Float32Array[]): Scale {
  const sizes = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) for (const value of part) sizes[at++] = Math.abs(value);
  sizes.sort();
  const limit = nextRound(sizes[Math.floor(WITHIN * (sizes.length - 1))]);
  const inside = sizes.findLastIndex((value) => value <= limit) + 1;
  return { limit, beyond: sizes.length - inside, count: sizes.length };
}

export function weightRgb(value: number, limit: number) {
  return rgb("g", value, [-limit, limit]);
}

export function inkOver(value: number, limit: number) {
  const [red, green, blue] = weightRgb(value, limit);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#16181d" : "#ffffff";
}
