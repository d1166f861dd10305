// The state that a step reads, and the terms of a gate's sum.

import type { Cell, DotProduct, Track } from "studio/types.js";

/** The state [P] or [H] before a step: after the step read before it, or the initial one. */
export function stateBefore(track: Track, quantity: string, t: number): Float32Array {
  const { info, values, carried } = track;
  const size = quantity === "h" ? info.outputs : info.units;
  const all = (carried ?? values)[quantity];
  const before = info.reverse ? t + 1 : t - 1;
  const outside = before < 0 || (before + 1) * size > all.length;
  if (outside) return track.initial[quantity];
  return all.subarray(before * size, (before + 1) * size);
}

/** The states before a step. */
export const statesBefore = (track: Track, t: number): Record<string, Float32Array> =>
  Object.fromEntries(Object.keys(track.initial).map((name) => [name, stateBefore(track, name, t)]));

/** The terms of the sum behind one unit's gate (before its activation) at one step. */
export function dotProduct(track: Track, { weights, kind }: Cell, gate: string, unit: number, t: number): DotProduct {
  const { units, inputSize, outputs } = track.info;
  const row = kind.gates.indexOf(gate) * units + unit;
  const inputWeights = weights.weight_ih.subarray(row * inputSize, (row + 1) * inputSize);
  const hiddenWeights = weights.weight_hh.subarray(row * outputs, (row + 1) * outputs);
  const input = (track.input as Float32Array).subarray(t * inputSize, (t + 1) * inputSize);
  const hidden = stateBefore(track, "h", t);
  const biasInput = weights.bias_ih === null ? 0 : weights.bias_ih[row];
  const biasHidden = weights.bias_hh === null ? 0 : weights.bias_hh[row];
  const by = kind.scales[gate];
  const scale = by === undefined ? 1 : track.values[by][t * units + unit];
  const fromInput = biasInput + dot(inputWeights, input);
  const fromHidden = biasHidden + dot(hiddenWeights, hidden);
  const sum = fromInput + scale * fromHidden;
  return { gate, inputWeights, input, hiddenWeights, hidden, biasInput, biasHidden, scale, fromInput, fromHidden, sum };
}

/** The scalar product. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}
