// A recorded trace: the values of a layer, without its weights.

import { layerParts, named, refuse } from "studio/runtime/common.js";
import { recordedSubject } from "studio/runtime/explain/subject.js";
import { type CellKind, kindNamed } from "studio/runtime/kinds.js";
import { tracksOf } from "studio/runtime/lstm.js";
import { configSizes, tokensOf } from "studio/runtime/plain.js";
import { type Weights, count } from "studio/runtime/weights.js";
import type { BundleHead, Model, Track, TrackInfo } from "studio/types.js";

/** @param weights the recorded values; NaN for those not recorded */
export function trace(head: BundleHead, weights: Weights): Model {
  const T = count(head.given, "steps");
  const kind = kindNamed(head.cell, head.cells);
  const infos = tracksOf(configSizes(head.config, 0));
  const tracks = infos.map((info, k) => trackOf(kind, weights, info, k, infos.length, T));
  const tokens = tokensOf(head, T);
  const run = { tokens, known: tokens.map(() => true), steps: T, tracks, heads: [], surprise: null, edits: [] };
  const no = () => refuse("a trace, which has no weights", "a model that runs", "Open the LSTM itself.");
  return {
    ...named(head, kind),
    ...{ kind: "trace", unit: "step", tracks: infos, hasWeights: false, given: Object.freeze(run) },
    parts: layerParts(infos, kind),
    subject: (given) => recordedSubject(given, kind),
    ...{ tokenise: no, run: no, runNumbers: no, dotProduct: no, weights: no, stream: no },
  };
}

/** @param k its place among them */
function trackOf(kind: CellKind, weights: Weights, info: TrackInfo, k: number, count: number, T: number): Track {
  const { name, units, outputs, inputSize } = info;
  const size = (quantity: string) => (quantity === "h" ? outputs : units);
  const recorded = (quantity: string) => {
    const place = `given.${name}.${quantity}`;
    const shape = [T, size(quantity)];
    return weights.has(place) ? weights.values(place, shape) : new Float32Array(shape[0] * shape[1]).fill(NaN);
  };
  const initial = (quantity: string) => {
    const H = size(quantity);
    const place = `given.${quantity}0`;
    return weights.has(place) ? weights.values(place, [count, H]).subarray(k * H, (k + 1) * H) : new Float32Array(H);
  };
  const values = Object.fromEntries([...kind.gates, ...kind.states].map((quantity) => [quantity, recorded(quantity)]));
  const reads = info.layer === 0 && inputSize > 0 && weights.has("given.input");
  const carried = `given.carried.${name}`;
  return {
    ...{ info, values, initial: Object.fromEntries(kind.carried.map((state) => [state, initial(state)])) },
    input: reads ? weights.values("given.input", [T, inputSize]) : null,
    carried: weights.has(carried) ? { ...values, [kind.memory]: weights.values(carried, [T, units]) } : null,
  };
}
