// Converts scores to probabilities.

/** `scores`: [T, K]; `temperature`: above 1 flattens the distribution; returns [T, K] */
export function softmax(scores: Float64Array | Float32Array, K: number, temperature: number = 1): Float32Array {
  const out = new Float32Array(scores.length);
  for (let at = 0; at < scores.length; at += K) {
    const highest = maximum(scores, at, K);
    let sum = 0;
    for (let k = at; k < at + K; k++) sum += Math.exp((scores[k] - highest) / temperature);
    for (let k = at; k < at + K; k++) out[k] = Math.exp((scores[k] - highest) / temperature) / sum;
  }
  return out;
}

/** `at`: where K scores begin; returns the log-sum-exp */
export function logSumExp(scores: Float64Array | Float32Array, at: number, K: number): number {
  const highest = maximum(scores, at, K);
  let sum = 0;
  for (let k = at; k < at + K; k++) sum += Math.exp(scores[k] - highest);
  return highest + Math.log(sum);
}

/** `scores`: [T, K]; returns [T] the index of the highest of each K, the first if equal */
export function highestScores(scores: Float64Array | Float32Array, K: number): Int32Array {
  const chosen = new Int32Array(scores.length / K);
  for (let t = 0; t < chosen.length; t++) {
    let best = 0;
    for (let k = 1; k < K; k++) if (scores[t * K + k] > scores[t * K + best]) best = k;
    chosen[t] = best;
  }
  return chosen;
}

function maximum(scores: Float64Array | Float32Array, at: number, K: number): number {
  let highest = scores[at];
  for (let k = at + 1; k < at + K; k++) highest = Math.max(highest, scores[k]);
  return highest;
}
