// The terms of the sum behind a gate: the largest first, and the rest combined into one, so that they add up to the
// whole.

/** @typedef {import("studio/types.js").DotProduct} DotProduct */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */

/**
 * @typedef {object} Term
 * @property {"input" | "hidden" | "rest" | "bias" | "sum"} kind
 * @property {string} name "W_if[12, 3]·x[3]", "b_if[12]", "and 154 others"
 * @property {number} index of the input feature or hidden unit; -1 for a rest or a bias
 * @property {number | null} weight
 * @property {number | null} factor the number multiplied by the weight
 * @property {number} value what it adds
 */

/**
 * The name of a feature of a layer's input: "x[3]" in the lowest layer, "l0r.h[3]" above.
 * @param {readonly TrackInfo[]} tracks
 * @param {TrackInfo} track
 * @param {number} index
 * @returns {string}
 */
function featureName(tracks, track, index) {
  const below = featureSource(tracks, track, index);
  return below ? `${below.track}.h[${below.unit}]` : `x[${index}]`;
}

/**
 * The track and unit in the layer below that an input feature comes from; null in the lowest layer.
 * @param {readonly TrackInfo[]} tracks
 * @param {TrackInfo} track
 * @param {number} index
 * @returns {{track: string, unit: number} | null}
 */
export function featureSource(tracks, track, index) {
  const below = tracks.filter((one) => one.layer === track.layer - 1);
  if (below.length === 0) return null;
  const { outputs } = below[0];
  return { track: below[Math.floor(index / outputs)].name, unit: index % outputs };
}

/**
 * The largest terms of one side, and all others combined into one.
 * @param {Float32Array} weights
 * @param {Float32Array} factors
 * @param {"input" | "hidden"} kind
 * @param {(index: number) => string} name
 * @param {number} shown
 * @param {number} [scale] of every term
 * @returns {Term[]}
 */
function side(weights, factors, kind, name, shown, scale = 1) {
  const values = Float64Array.from(weights, (weight, index) => scale * weight * factors[index]);
  const order = Uint32Array.from(values.keys()).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  const count = values.length <= shown + 1 ? values.length : shown;
  /** @type {Term[]} */
  const terms = Array.from(order.subarray(0, count), (index) => ({
    ...{ kind, name: name(index), index, value: values[index] },
    ...{ weight: weights[index], factor: factors[index] },
  }));
  if (count === values.length) return terms;
  const value = order.subarray(count).reduce((sum, index) => sum + values[index], 0);
  const others = `and ${values.length - count} others of ${kind === "input" ? "x" : "h_prev"}`;
  return [...terms, { kind: "rest", name: others, index: -1, weight: null, factor: null, value }];
}

/**
 * @param {Model} model
 * @param {TrackInfo} track
 * @param {number} unit
 * @param {DotProduct} dot
 * @param {number} [shown] terms of each side
 * @returns {Term[]} adding up to dot.sum
 */
export function termsOf(model, track, unit, dot, shown = Infinity) {
  const { gate, scale } = dot;
  const r = resetOf(model, gate);
  const inputName = (/** @type {number} */ k) => `W_i${gate}[${unit}, ${k}]·${featureName(model.tracks, track, k)}`;
  const hiddenName = (/** @type {number} */ k) => `${r}W_h${gate}[${unit}, ${k}]·h_prev[${k}]`;
  return [
    ...side(dot.inputWeights, dot.input, "input", inputName, shown),
    ...side(dot.hiddenWeights, dot.hidden, "hidden", hiddenName, shown, scale),
    ...biases(model, track, unit, dot),
  ];
}

/**
 * @param {Model} model
 * @param {TrackInfo} track
 * @param {number} unit
 * @param {DotProduct} dot
 * @returns {Term[]}
 */
function biases(model, track, unit, { gate, biasInput, biasHidden, scale }) {
  if (model.weights(track.name).bias_ih === null) return [];
  const bias = (/** @type {string} */ side, /** @type {number} */ value) => ({
    kind: /** @type {"bias"} */ ("bias"),
    name: `${side === "h" ? resetOf(model, gate) : ""}b_${side}${gate}[${unit}]`,
    index: -1,
    weight: null,
    factor: null,
    value,
  });
  return [bias("i", biasInput), bias("h", scale * biasHidden)];
}

/**
 * The symbol of the reset gate, shown before the terms that it multiplies: the recurrent terms of a GRU's candidate.
 * @param {Model} model
 * @param {string} gate
 */
function resetOf({ cell }, gate) {
  return cell.parts.n_rh === gate ? "r·" : "";
}
