// Converts scores to probabilities.

/**
 * @param {Float64Array | Float32Array} scores [T, K]
 * @param {number} K
 * @param {number} temperature above 1 flattens the distribution
 * @returns {Float32Array} [T, K]
 */
export function softmax(scores, K, temperature = 1) {
  const out = new Float32Array(scores.length);
  for (let at = 0; at < scores.length; at += K) {
    const highest = maximum(scores, at, K);
    let sum = 0;
    for (let k = at; k < at + K; k++) sum += Math.exp((scores[k] - highest) / temperature);
    for (let k = at; k < at + K; k++) out[k] = Math.exp((scores[k] - highest) / temperature) / sum;
  }
  return out;
}

/**
 * @param {Float64Array | Float32Array} scores
 * @param {number} at where K scores begin
 * @param {number} K
 * @returns {number} the log-sum-exp
 */
export function logSumExp(scores, at, K) {
  const highest = maximum(scores, at, K);
  let sum = 0;
  for (let k = at; k < at + K; k++) sum += Math.exp(scores[k] - highest);
  return highest + Math.log(sum);
}

/**
 * @param {Float64Array | Float32Array} scores [T, K]
 * @param {number} K
 * @returns {Int32Array} [T] the index of the highest of each K, the first if equal
 */
export function highestOf(scores, K) {
  const chosen = new Int32Array(scores.length / K);
  for (let t = 0; t < chosen.length; t++) {
    let best = 0;
    for (let k = 1; k < K; k++) if (scores[t * K + k] > scores[t * K + best]) best = k;
    chosen[t] = best;
  }
  return chosen;
}

/**
 * @param {Float64Array | Float32Array} scores
 * @param {number} at
 * @param {number} K
 * @returns {number}
 */
function maximum(scores, at, K) {
  let highest = scores[at];
  for (let k = at + 1; k < at + K; k++) highest = Math.max(highest, scores[k]);
  return highest;
}
