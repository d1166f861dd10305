// Products of matrices and vectors, in doubles: sums lose nothing, and what is stored as float32 is rounded once.

/**
 * Out = W·x + b for several x at once, each weight read once for four of them.
 * @param {Float32Array} x [T, C]
 * @param {number} T
 * @param {Float32Array} weight [R, C]
 * @param {Float32Array | null} bias [R]
 * @param {Float64Array} out [T, R]
 */
export function affine(x, T, weight, bias, out) {
  const R = T > 0 ? out.length / T : 0;
  const C = T > 0 ? x.length / T : 0;
  const columns = Float64Array.from(x);
  let t = 0;
  for (; t + 4 <= T; t += 4) four(columns, t, C, weight, out, R);
  for (; t < T; t++) product(weight, columns.subarray(t * C, (t + 1) * C), out.subarray(t * R, (t + 1) * R));
  if (bias !== null) {
    for (let k = 0, r = 0; k < out.length; k++, r = r + 1 < R ? r + 1 : 0) out[k] += bias[r];
  }
}

/**
 * @param {Float64Array} x
 * @param {number} t
 * @param {number} C
 * @param {Float32Array} weight
 * @param {Float64Array} out
 * @param {number} R
 */
function four(x, t, C, weight, out, R) {
  const [a, b, c, d] = [t * C, (t + 1) * C, (t + 2) * C, (t + 3) * C];
  for (let r = 0; r < R; r++) {
    const row = r * C;
    let [p, q, u, v] = [0, 0, 0, 0];
    for (let k = 0; k < C; k++) {
      const w = weight[row + k];
      p += w * x[a + k];
      q += w * x[b + k];
      u += w * x[c + k];
      v += w * x[d + k];
    }
    const at = t * R + r;
    out[at] = p;
    out[at + R] = q;
    out[at + 2 * R] = u;
    out[at + 3 * R] = v;
  }
}

/**
 * Out = W·x, four rows at a time.
 * @param {Float32Array} weight [R, C]
 * @param {Float64Array} x [C]
 * @param {Float64Array} out [R]
 */
export function product(weight, x, out) {
  const C = x.length;
  const R = out.length;
  let r = 0;
  for (; r + 4 <= R; r += 4) {
    const [a, b, c, d] = [r * C, (r + 1) * C, (r + 2) * C, (r + 3) * C];
    let [p, q, u, v] = [0, 0, 0, 0];
    for (let k = 0; k < C; k++) {
      const value = x[k];
      p += weight[a + k] * value;
      q += weight[b + k] * value;
      u += weight[c + k] * value;
      v += weight[d + k] * value;
    }
    out[r] = p;
    out[r + 1] = q;
    out[r + 2] = u;
    out[r + 3] = v;
  }
  for (; r < R; r++) {
    let sum = 0;
    for (let k = 0; k < C; k++) sum += weight[r * C + k] * x[k];
    out[r] = sum;
  }
}
