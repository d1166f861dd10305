// The terms of the sum behind a gate: the largest first, and the rest combined into one, so that they add up to the
// whole.

import type { DotProduct, Model, TrackInfo } from "studio/types.js";

export interface Term {
  kind: "input" | "hidden" | "rest" | "bias" | "sum";
  name: string; // "W_if[12, 3]·x[3]", "b_if[12]", "and 154 others"
  index: number; // of the input feature or hidden unit; -1 for a rest or a bias
  weight: number | null;
  factor: number | null; // the number multiplied by the weight
  value: number; // what it adds
}

/** The name of a feature of a layer's input: "x[3]" in the lowest layer, "l0r.h[3]" above. */
function featureName(tracks: readonly TrackInfo[], track: TrackInfo, index: number): string {
  const below = featureSource(tracks, track, index);
  return below ? `${below.track}.h[${below.unit}]` : `x[${index}]`;
}

/** The track and unit in the layer below that an input feature comes from; null in the lowest layer. */
export function featureSource(
  tracks: readonly TrackInfo[],
  track: TrackInfo,
  index: number,
): { track: string; unit: number } | null {
  const below = tracks.filter((one) => one.layer === track.layer - 1);
  if (below.length === 0) return null;
  const { outputs } = below[0];
  return { track: below[Math.floor(index / outputs)].name, unit: index % outputs };
}

/** The largest terms of one side, and all others combined into one; `scale`: of every term. */
function side(
  weights: Float32Array,
  factors: Float32Array,
  kind: "input" | "hidden",
  name: (index: number) => string,
  shown: number,
  scale: number = 1,
): Term[] {
  const values = Float64Array.from(weights, (weight, index) => scale * weight * factors[index]);
  const order = Uint32Array.from(values.keys()).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  const count = values.length <= shown + 1 ? values.length : shown;
  const terms: Term[] = Array.from(order.subarray(0, count), (index) => ({
    ...{ kind, name: name(index), index, value: values[index] },
    ...{ weight: weights[index], factor: factors[index] },
  }));
  if (count === values.length) return terms;
  const value = order.subarray(count).reduce((sum, index) => sum + values[index], 0);
  const others = `and ${values.length - count} others of ${kind === "input" ? "x" : "h_prev"}`;
  return [...terms, { kind: "rest", name: others, index: -1, weight: null, factor: null, value }];
}

/** `shown`: terms of each side; returns terms that add up to dot.sum */
export function gateTerms(
  model: Model,
  track: TrackInfo,
  unit: number,
  dot: DotProduct,
  shown: number = Infinity,
): Term[] {
  const { gate, scale } = dot;
  const r = resetSymbol(model, gate);
  const inputName = (k: number) => `W_i${gate}[${unit}, ${k}]·${featureName(model.tracks, track, k)}`;
  const hiddenName = (k: number) => `${r}W_h${gate}[${unit}, ${k}]·h_prev[${k}]`;
  return [
    ...side(dot.inputWeights, dot.input, "input", inputName, shown),
    ...side(dot.hiddenWeights, dot.hidden, "hidden", hiddenName, shown, scale),
    ...biases(model, track, unit, dot),
  ];
}

function biases(
  model: Model,
  track: TrackInfo,
  unit: number,
  { gate, biasInput, biasHidden, scale }: DotProduct,
): Term[] {
  if (model.weights(track.name).bias_ih === null) return [];
  const bias = (side: string, value: number) => ({
    kind: "bias" as "bias",
    name: `${side === "h" ? resetSymbol(model, gate) : ""}b_${side}${gate}[${unit}]`,
    index: -1,
    weight: null,
    factor: null,
    value,
  });
  return [bias("i", biasInput), bias("h", scale * biasHidden)];
}

/** The symbol of the reset gate, before the terms that it multiplies: the recurrent ones of a GRU's candidate. */
function resetSymbol({ cell }: Model, gate: string) {
  return cell.parts.n_rh === gate ? "r·" : "";
}
