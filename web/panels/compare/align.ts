// Aligns the steps of two runs.

/** A column: a step of each run; -1 if a run has none. */
export type Column = { a: number; b: number };

type Way = "position" | "words";

/**
 * Pairs steps by position.
 *
 * @param a steps of the first run
 * @param b steps of the second run
 */
export function byPosition(a: number, b: number): Column[] {
  return Array.from({ length: Math.max(a, b) }, (_, t) => ({ a: t < a ? t : -1, b: t < b ? t : -1 }));
}

/** The lengths of the longest common subsequences of all pairs of suffixes. */
function commonLengths(a: string[], b: string[]): Uint32Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let s = a.length - 1; s >= 0; s--) {
    for (let t = b.length - 1; t >= 0; t--) {
      table[s][t] = a[s] === b[t] ? table[s + 1][t + 1] + 1 : Math.max(table[s + 1][t], table[s][t + 1]);
    }
  }
  return table;
}

/** The common words, in order. */
function common(a: string[], b: string[]): Column[] {
  const table = commonLengths(a, b);
  const found = [];
  for (let s = 0, t = 0; s < a.length && t < b.length;) {
    if (a[s] === b[t]) found.push({ a: s++, b: t++ });
    else if (table[s + 1][t] >= table[s][t + 1]) s++;
    else t++;
  }
  return found;
}

/**
 * Pairs the steps between two common words, as far as both runs have any.
 *
 * @param from the first steps between
 * @param to the first steps after
 */
function between(from: Column, to: Column): Column[] {
  const columns = byPosition(to.a - from.a, to.b - from.b);
  return columns.map(({ a, b }) => ({ a: a < 0 ? -1 : from.a + a, b: b < 0 ? -1 : from.b + b }));
}

/**
 * Aligns words by their longest common subsequence: equal words share a column, and so do words that replace each
 * other.
 */
export function byWords(a: string[], b: string[]): Column[] {
  const [lowerA, lowerB] = [a, b].map((tokens) => tokens.map((token) => token.toLowerCase()));
  const anchors = [...common(lowerA, lowerB), { a: a.length, b: b.length }];
  let from = { a: 0, b: 0 };
  return anchors.flatMap((anchor) => {
    const columns = between(from, anchor);
    from = { a: anchor.a + 1, b: anchor.b + 1 };
    return anchor.a < a.length && anchor.b < b.length ? [...columns, anchor] : columns;
  });
}

export function align(way: Way, a: string[], b: string[]): Column[] {
  return way === "words" ? byWords(a, b) : byPosition(a.length, b.length);
}
