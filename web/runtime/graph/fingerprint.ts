// The fingerprint of a file, by which a stream's state knows its model: 16 bytes of BLAKE2b (RFC 7693) in hexadecimal.

const BEGIN = new Uint32Array([
  0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a, 0xade682d1,
  0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19,
]); // eight numbers of 64 bits, the low half first
const ORDERS = [
  "0123456789abcdef ea489fd61c02b753 b8c052fdae367194 7931dcbe265a40f8 905724afe1bc683d",
  "2c6a0b834d75fe19 c51fed4a0763928b db7ec13950f4862a 6fe9b308c2d714a5 a2847615fb9e3cd0",
  "0123456789abcdef ea489fd61c02b753",
]
  .join(" ")
  .split(" ")
  .map((order) => Array.from(order, (digit) => 2 * parseInt(digit, 16)));
const MIXED = ["048c", "159d", "26ae", "37bf", "05af", "16bc", "278d", "349e"].map((four) =>
  Array.from(four, (digit) => 2 * parseInt(digit, 16)),
);

export function fingerprint(bytes: Uint8Array): string {
  const hash = BEGIN.slice();
  hash[0] ^= 0x01010000 ^ 16;
  const [v, m] = [new Uint32Array(32), new Uint32Array(32)];
  for (let at = 0; at === 0 || at < bytes.length; at += 128) {
    const block = new Uint8Array(128);
    block.set(bytes.subarray(at, at + 128));
    const words = new DataView(block.buffer);
    for (let k = 0; k < 32; k++) m[k] = words.getUint32(4 * k, true);
    v.set(hash);
    v.set(BEGIN, 16);
    const count = Math.min(at + 128, bytes.length);
    v[24] ^= count;
    v[25] ^= Math.floor(count / 2 ** 32);
    if (count === bytes.length) for (const k of [28, 29]) v[k] = ~v[k];
    for (const order of ORDERS) {
      for (let k = 0; k < 8; k++) {
        const [a, b, c, d] = MIXED[k];
        add(v, a, v, b);
        add(v, a, m, order[2 * k]);
        turn(v, d, a, 32);
        add(v, c, v, d);
        turn(v, b, c, 24);
        add(v, a, v, b);
        add(v, a, m, order[2 * k + 1]);
        turn(v, d, a, 16);
        add(v, c, v, d);
        turn(v, b, c, 63);
      }
    }
    for (let k = 0; k < 16; k++) hash[k] ^= v[k] ^ v[k + 16];
  }
  const out = new DataView(new ArrayBuffer(16));
  for (let k = 0; k < 4; k++) out.setUint32(4 * k, hash[k], true);
  return Array.from(new Uint8Array(out.buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function add(v: Uint32Array, to: number, from: Uint32Array, k: number) {
  const low = v[to] + from[k];
  v[to] = low;
  v[to + 1] += from[k + 1] + Number(low >= 2 ** 32);
}

/** Combines one number with another by exclusive or, and turns it to the right by 16, 24, 32 or 63 bits. */
function turn(v: Uint32Array, k: number, by: number, bits: number) {
  const [to, rest] = bits < 32 ? [0, bits] : [1, bits - 32];
  const low = v[k + to] ^ v[by + to];
  const high = v[k + 1 - to] ^ v[by + 1 - to];
  v[k] = rest ? (low >>> rest) | (high << (32 - rest)) : low;
  v[k + 1] = rest ? (high >>> rest) | (low << (32 - rest)) : high;
}
