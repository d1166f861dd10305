// Tokens and their ids, as in hiddenstate.text. A character is a code point, not a UTF-16 unit.

import { strings } from "studio/runtime/weights.js";

/** In a tagger's vocabularies, id 0 is padding, id 1 is any unknown token, and the tokens follow. */
export const UNKNOWN = 1;
const SPECIAL = 2;

/** The words or characters in a tagger's vocabulary. */
export function readVocabulary(data: any, what: string) {
  const tokens = strings(data?.tokens, what);
  const numbers = new Map(tokens.map((token, k) => [token, k + SPECIAL]));
  const id = (token: string) => numbers.get(token) ?? UNKNOWN;
  return { size: tokens.length + SPECIAL, id, has: (token: string) => numbers.has(token) };
}

export const codePoints = (text: string): string[] => Array.from(text);

/** The rows of an embedding, in the order of the ids; `weight`: [V, E]; `size`: E; returns [T, E]. */
export function embedded(weight: Float32Array, size: number, ids: readonly number[]): Float32Array {
  const out = new Float32Array(ids.length * size);
  ids.forEach((id, t) => out.set(weight.subarray(id * size, (id + 1) * size), t * size));
  return out;
}
