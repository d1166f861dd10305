// Joins arrays.

export function concatenated(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** `parts`: each [T, P]; returns [T, D*P] their rows side by side; if there is only one part, that part */
export function sideBySide(parts: readonly Float32Array[], T: number): Float32Array {
  if (parts.length === 1) return parts[0];
  const P = parts[0].length / T;
  const out = new Float32Array(T * P * parts.length);
  parts.forEach((part, d) => {
    for (let t = 0; t < T; t++) out.set(part.subarray(t * P, (t + 1) * P), (t * parts.length + d) * P);
  });
  return out;
}
