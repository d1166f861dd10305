// Products of matrices and vectors in float64, so that results stored as float32 are rounded only once.
// Several sums are computed at a time, since each addition waits for the previous one in its sum.

import { INT8 } from "studio/facts.js";

type Numbers = Float32Array | Float64Array;

const NEAREST = 1.5 * 2 ** 52; // what is added to it is rounded to the nearest integer, ties to even

/** The rows of x [T, C] rounded to integers times a scale for each, as the engine multiplies them by int8 weights. */
export function rounded(x: Float32Array, T: number): Float64Array {
  const C = x.length / T;
  const out = new Float64Array(x.length);
  for (let t = 0; t < T; t++) {
    const row = x.subarray(t * C, (t + 1) * C);
    const greatest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0); // a NaN stays
    const scale = Math.fround(greatest / INT8.most);
    const perStep = Math.fround(INT8.most / greatest);
    const factor = perStep < Infinity ? perStep : 0;
    for (let k = 0; k < C; k++) out[t * C + k] = (row[k] * factor + NEAREST - NEAREST) * scale;
  }
  return out;
}

/** W·x + b for several x [T, C] at once, with each weight read once for four of them; `weight`: [R, C]; returns [T, R]. */
export function affine(x: Numbers, T: number, weight: Float32Array, bias: Float32Array | null) {
  const C = T > 0 ? x.length / T : weight.length;
  const R = weight.length / C;
  const [columns, out] = [Float64Array.from(x), new Float64Array(T * R)];
  let t = 0;
  for (; t + 4 <= T; t += 4) four(columns, t, C, weight, out, R);
  for (; t < T; t++) product(weight, columns.subarray(t * C, (t + 1) * C), out.subarray(t * R, (t + 1) * R));
  if (bias !== null) {
    for (let k = 0, r = 0; k < out.length; k++, r = r + 1 < R ? r + 1 : 0) out[k] += bias[r];
  }
  return out;
}

/** Computes four steps, two rows at a time; `x`: [T, C]; `weight`: [R, C]; `out`: [T, R]. */
function four(x: Float64Array, t: number, C: number, weight: Float32Array, out: Float64Array, R: number) {
  const [a, b, c, d] = [t * C, (t + 1) * C, (t + 2) * C, (t + 3) * C];
  for (let r = 0; r < R; r += 2) {
    const row = r * C;
    const next = r + 1 < R ? row + C : row;
    let [a0, b0, c0, d0, a1, b1, c1, d1] = [0, 0, 0, 0, 0, 0, 0, 0];
    for (let k = 0; k < C; k++) {
      const w0 = weight[row + k];
      const w1 = weight[next + k];
      a0 += w0 * x[a + k];
      b0 += w0 * x[b + k];
      c0 += w0 * x[c + k];
      d0 += w0 * x[d + k];
      a1 += w1 * x[a + k];
      b1 += w1 * x[b + k];
      c1 += w1 * x[c + k];
      d1 += w1 * x[d + k];
    }
    put(out, t * R + r, R, a0, b0, c0, d0);
    if (next > row) put(out, t * R + r + 1, R, a1, b1, c1, d1);
  }
}

function put(out: Float64Array, at: number, R: number, a: number, b: number, c: number, d: number) {
  out[at] = a;
  out[at + R] = b;
  out[at + 2 * R] = c;
  out[at + 3 * R] = d;
}

/** out = W·x, four rows at a time; `weight`: [R, C]; `x`: [C]; `out`: [R]. */
export function product(weight: Float32Array, x: Float64Array, out: Float64Array) {
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
    put(out, r, 1, p, q, u, v);
  }
  for (; r < R; r++) {
    let sum = 0;
    for (let k = 0; k < C; k++) sum += weight[r * C + k] * x[k];
    out[r] = sum;
  }
}
