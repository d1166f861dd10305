// Tokens and their ids, as in hiddenstate.text. A character is a code point, not a UTF-16 unit.

import { strings } from "studio/runtime/weights.js";

/** In a tagger's vocabularies, id 0 is padding, id 1 is any unknown token, and the tokens follow. */
export const UNKNOWN = 1;
const SPECIAL = 2;

/** The words or characters in a tagger's vocabulary. */
export class Vocabulary {
  /**
   * @param {any} data
   * @param {string} what
   */
  constructor(data, what) {
    const tokens = strings(data?.tokens, what);
    this.size = tokens.length + SPECIAL;
    /** @type {Map<string, number>} */
    this.numbers = new Map(tokens.map((token, k) => [token, k + SPECIAL]));
  }

  /**
   * @param {string} token
   * @returns {number}
   */
  id(token) {
    return this.numbers.get(token) ?? UNKNOWN;
  }

  /**
   * @param {string} token
   * @returns {boolean}
   */
  has(token) {
    return this.numbers.has(token);
  }
}

/**
 * @param {string} text
 * @returns {string[]}
 */
export function codePoints(text) {
  return Array.from(text);
}

/**
 * The rows of an embedding, in the order of the ids.
 * @param {Float32Array} weight [V, E]
 * @param {number} size E
 * @param {readonly number[]} ids
 * @returns {Float32Array} [T, E]
 */
export function embedded(weight, size, ids) {
  const out = new Float32Array(ids.length * size);
  ids.forEach((id, t) => out.set(weight.subarray(id * size, (id + 1) * size), t * size));
  return out;
}
