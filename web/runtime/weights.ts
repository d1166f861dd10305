// Reads weights by name, each checked against the shape in the config, numbers from the config, and vocabularies.

import { LARGEST_SIZE } from "studio/facts.js";
import { damaged } from "studio/runtime/errors.js";
import type { Tensor } from "studio/runtime/safetensors.js";

/** The tensors of a file, which are taken one by one. */
export class Weights {
  taken: Set<string> = new Set();

  constructor(public tensors: Map<string, Tensor>) {}

  take(name: string, shape: number[]): Float32Array {
    const data = this.values(name, shape);
    if (!allFinite(data)) throw damaged(`weight ${name} contains numbers that are not finite`, "finite numbers");
    return data;
  }

  /** Like `take`, but for recorded values, which may be any number. */
  values(name: string, shape: number[]): Float32Array {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw damaged(`tensor ${name} is missing`, `one of shape [${shape.join(", ")}]`);
    if (tensor.shape.join() !== shape.join()) {
      const expected = `[${shape.join(", ")}], as the config says`;
      throw damaged(`tensor ${name} has shape [${tensor.shape.join(", ")}]`, expected);
    }
    this.taken.add(name);
    return tensor.data;
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  isInt8(name: string): boolean {
    return this.tensors.get(name)?.isInt8 ?? false;
  }

  /** Rejects weights that were not used. */
  finish() {
    for (const name of this.tensors.keys()) {
      if (!this.taken.has(name)) throw damaged(`tensor ${name} is unexpected`, "only those in the config");
    }
  }
}

export function allFinite(data: Float32Array): boolean {
  for (let k = 0; k < data.length; k++) if (!Number.isFinite(data[k])) return false;
  return true;
}

export function count(config: any, name: string, least: number = 1): number {
  const value = config?.[name];
  if (!Number.isSafeInteger(value) || value < least || value > LARGEST_SIZE) {
    const expected = `a whole number of at least ${least} and at most ${LARGEST_SIZE}`;
    throw damaged(`the model's config has ${name} = ${JSON.stringify(value)}`, expected);
  }
  return value;
}

/** A yes/no option; false in older configs, which lack it. */
export function flag(config: any, name: string): boolean {
  const value = config?.[name] ?? false;
  if (typeof value !== "boolean") {
    throw damaged(`the model's config has ${name} = ${JSON.stringify(value)}`, "true or false");
  }
  return value;
}

export function strings(value: any, what: string): string[] {
  if (!Array.isArray(value) || value.some((each) => typeof each !== "string")) {
    throw damaged(`the model's vocabulary has no list of ${what}`, "strings");
  }
  if (new Set(value).size < value.length) throw damaged(`the model's ${what} contain duplicates`, "distinct ones");
  return value;
}

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
