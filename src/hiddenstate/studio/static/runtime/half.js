// IEEE half precision, in which some weights are stored, and vectors of words in context are kept.

const number = new Float32Array(1);
const bits = new Uint32Array(number.buffer);

/**
 * @param {number} half bits of a half
 * @returns {number}
 */
export function fromHalf(half) {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const sign = half >> 15 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * The half that is nearest, of two the even one; for numbers below 65504.
 * @param {number} value a float32
 * @returns {number}
 */
export function roundToHalf(value) {
  number[0] = value;
  const exponent = Math.max(((bits[0] >>> 23) & 255) - 127, -14);
  // A sum this large has no room for more than the half's bits, and is rounded by the rule of all sums.
  const large = 1.5 * 2 ** (52 + exponent - 10);
  return value + large - large;
}
