// The heat map in words, for screen readers.

import { changes, unitSeries } from "studio/panels/heatmap/order.js";
import { stepName } from "studio/state/tokens.js";
import { trackOf, quantityWidth } from "studio/state/units.js";
import type { Run } from "studio/types.js";

export function summary(run: Run, name: string, quantity: string): string {
  const track = trackOf(run, name);
  const values = track.values[quantity];
  const width = quantityWidth(track.info, quantity);
  const [low, high] = [extreme(values, -1), extreme(values, 1)];
  const restless = largest(changes(unitSeries(track, quantity, run.steps)), 3);
  const at = (k: number) => {
    const t = Math.floor(k / width);
    return `${values[k].toFixed(2)} (unit ${k % width}, ${stepName(run, t)})`;
  };
  return (
    `${quantity} of ${name}: ${width} units by ${run.steps} steps. Lowest ${at(low)}, highest ${at(high)}. ` +
    `The units that change most: ${restless.join(", ")}.`
  );
}

function extreme(values: Float32Array, sign: 1 | -1) {
  let best = 0;
  for (let k = 1; k < values.length; k += 1) if (sign * values[k] > sign * values[best]) best = k;
  return best;
}

function largest(values: Float64Array, most: number) {
  return Array.from(values.keys())
    .sort((a, b) => values[b] - values[a])
    .slice(0, most);
}
