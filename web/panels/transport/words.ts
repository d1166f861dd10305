// Describes a step in one sentence: the token, and what the layer's gates do on average.

import { neighbours } from "studio/state/moment.js";
import { wordAt } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { memoryState, trackOf } from "studio/state/units.js";
import type { Run, Track, View } from "studio/types.js";
import { percent } from "studio/ui/draw.js";

const LONGEST = 18; // maximum number of characters in a word

/** Returns why there is nothing to play; "" if there is. */
export function nothingToPlay({ run, model }: Pick<App["session"], "run" | "model">): string {
  if (run === null || model === null) return "Nothing has been read yet.";
  return run.steps > 1 ? "" : `There is only one ${model.unit}, so there is nothing to play.`;
}

export function tellStep(run: Run, { step, track: name }: Pick<View, "step" | "track">): string {
  const track = trackOf(run, name);
  if (step >= run.steps) return "";
  const word = wordAt(run, step, LONGEST);
  const reads = `${track.info.name} reads ${word === "" ? `step ${step}` : `\u201c${word}\u201d`}`;
  const does = gatesSay(track, step, isAtRest(track, step, run.steps));
  return does === "" ? `${reads}.` : `${reads}: ${does}.`;
}

/**
 * @param empty whether there is no memory yet
 * @returns "" if a gate was not recorded
 */
function gatesSay({ values, info }: Track, t: number, empty: boolean): string {
  const [f, i, o, r, z] = ["f", "i", "o", "r", "z"].map((gate) => mean(values[gate], t, info.units));
  const means = `(mean of ${info.units} units)`;
  const nothing = "there is no memory to keep yet";
  if ([r, z].every(Number.isFinite)) {
    const keeps = empty ? nothing : `the update gate keeps ${percent(z)} of the memory`;
    return `${keeps}; the reset gate lets the candidate read ${percent(r)} of it ${means}`;
  }
  if (![f, i, o].every(Number.isFinite)) return "";
  const keeps = empty ? nothing : `the forget gate keeps ${percent(f)} of the memory`;
  const others = `the input gate lets in ${percent(i)} of the candidate, the output gate outputs ${percent(o)}`;
  return `${keeps}; ${others} ${means}`;
}

/** Whether the memory before a step is zero because the run starts there. */
function isAtRest(track: Track, t: number, steps: number) {
  return neighbours(track, t, steps).before === null && track.initial[memoryState(track)].every((value) => value === 0);
}

function mean(values: Float32Array | undefined, t: number, units: number) {
  if (values === undefined) return NaN;
  return values.subarray(t * units, (t + 1) * units).reduce((sum, value) => sum + value, 0) / units;
}
