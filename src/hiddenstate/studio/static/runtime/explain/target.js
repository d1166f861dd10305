// Targets: the number to explain, a logit or log-probability at a step, or a unit of a hidden state.

/** @typedef {import("studio/types.js").Readout} Readout */
/** @typedef {import("studio/types.js").Reader} Reader */
/** @typedef {import("studio/types.js").Subject} Subject */

/**
 * @typedef {object} Target
 * @property {number} t its step
 * @property {Readout | null} readout the target as a linear function of the outputs of step t; null for a log-probability
 * @property {(out: Float32Array) => number} of from outputs [D*P] of step t
 */

/**
 * The logit of a label.
 * @param {Reader} reader
 * @param {number} label
 * @param {number} t
 * @returns {Target | null} null if the label has none
 */
export function logitTarget(reader, label, t) {
  const readout = reader.logit(label);
  return readout === null ? null : readoutTarget(readout, t);
}

/**
 * The logarithm of a label's probability.
 * @param {Reader} reader
 * @param {number} label
 * @param {number} t
 * @returns {Target | null} null if it does not depend on a single step
 */
export function probabilityTarget({ logProbability }, label, t) {
  return logProbability === null ? null : { t, readout: null, of: (out) => logProbability(out, label) };
}

/**
 * A unit of the outputs: the hidden states of the last layer, with both directions concatenated.
 * @param {Subject} subject
 * @param {number} unit
 * @param {number} t
 * @returns {Target}
 */
export function stateTarget(subject, unit, t) {
  const vector = new Float64Array(outputSize(subject));
  vector[unit] = 1;
  return readoutTarget({ vector, bias: 0 }, t);
}

/**
 * @param {Readout} readout
 * @param {number} t
 * @returns {Target}
 */
function readoutTarget(readout, t) {
  const { vector, bias } = readout;
  const of = (/** @type {Float32Array} */ out) => vector.reduce((sum, weight, k) => sum + weight * out[k], bias);
  return { t, readout, of };
}

/**
 * The outputs of a step in the original run.
 * @param {Subject} subject
 * @param {number} t
 * @returns {Float32Array} [D*P]
 */
export function outputAt({ tracks }, t) {
  const top = topTracks(tracks);
  const P = top[0].info.outputs;
  const out = new Float32Array(P * top.length);
  top.forEach(({ values }, d) => out.set(values.h.subarray(t * P, (t + 1) * P), d * P));
  return out;
}

/**
 * @param {Subject["tracks"]} tracks
 * @returns {Subject["tracks"]} those of the last layer
 */
export function topTracks(tracks) {
  const last = tracks[tracks.length - 1].info.layer;
  return tracks.filter(({ info }) => info.layer === last);
}

/**
 * @param {Subject} subject
 * @returns {number} D*P
 */
function outputSize({ tracks }) {
  return topTracks(tracks).reduce((sum, { info }) => sum + info.outputs, 0);
}

/**
 * The steps that a direction reads up to step t, in reading order.
 * @param {boolean} reverse
 * @param {number} T
 * @param {number} t
 * @returns {number[]}
 */
export function readingOrder(reverse, T, t) {
  return reverse ? Array.from({ length: T - t }, (_, k) => T - 1 - k) : Array.from({ length: t + 1 }, (_, k) => k);
}
