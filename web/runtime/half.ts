// IEEE half precision, in which some weights and contextual word vectors are stored.

const number = new Float32Array(1);
const bits = new Uint32Array(number.buffer);

/** Reads half-precision numbers by moving their bits to the positions of a float32; `data`: written. */
export function readHalves(view: DataView, data: Float32Array) {
  const moved = new Uint32Array(data.buffer);
  for (let k = 0; k < data.length; k++) {
    const half = view.getUint16(2 * k, true);
    const size = half & 0x7fff;
    const sign = (half & 0x8000) << 16;
    if (size < 0x400) data[k] = (sign < 0 ? -size : size) * 2 ** -24;
    else moved[k] = sign | ((size << 13) + (size < 0x7c00 ? 112 << 23 : 224 << 23));
  }
}

/** The nearest half-precision number, ties to even; for numbers below 65504; `value`: a float32. */
export function roundToHalf(value: number): number {
  number[0] = value;
  const exponent = Math.max(((bits[0] >>> 23) & 255) - 127, -14);
  // A sum this large has only as many bits left as a half has, so the addition does the rounding.
  const large = 1.5 * 2 ** (52 + exponent - 10);
  return value + large - large;
}
