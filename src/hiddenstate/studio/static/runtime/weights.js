// Reads weights by name, each checked against the shape in the config, and numbers from the config.

import { damaged } from "studio/runtime/errors.js";

/** @typedef {import("studio/runtime/safetensors.js").Tensor} Tensor */

const MOST = 2 ** 24; // largest size allowed

/** The tensors of a file, which are taken one by one. */
export class Weights {
  /** @param {Map<string, Tensor>} tensors */
  constructor(tensors) {
    this.tensors = tensors;
    /** @type {Set<string>} */
    this.taken = new Set();
  }

  /**
   * @param {string} name
   * @param {number[]} shape
   * @returns {Float32Array}
   */
  take(name, shape) {
    const data = this.values(name, shape);
    if (!allFinite(data)) {
      throw damaged(`weight ${name} contains numbers that are not finite`, "finite numbers");
    }
    return data;
  }

  /**
   * Like `take`, but for recorded values, which may be any number.
   * @param {string} name
   * @param {number[]} shape
   * @returns {Float32Array}
   */
  values(name, shape) {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw damaged(`tensor ${name} is missing`, `one of shape [${shape.join(", ")}]`);
    if (tensor.shape.join() !== shape.join()) {
      const expected = `[${shape.join(", ")}], as the config says`;
      throw damaged(`tensor ${name} has shape [${tensor.shape.join(", ")}]`, expected);
    }
    this.taken.add(name);
    return tensor.data;
  }

  /**
   * @param {string} name
   * @returns {boolean}
   */
  has(name) {
    return this.tensors.has(name);
  }

  /** Rejects weights that were not used. */
  finish() {
    for (const name of this.tensors.keys()) {
      if (!this.taken.has(name)) throw damaged(`tensor ${name} is unexpected`, "only those in the config");
    }
  }
}

/**
 * @param {Float32Array} data
 * @returns {boolean}
 */
export function allFinite(data) {
  for (let k = 0; k < data.length; k++) if (!Number.isFinite(data[k])) return false;
  return true;
}

/**
 * @param {any} config
 * @param {string} name
 * @param {number} [least]
 * @returns {number}
 */
export function count(config, name, least = 1) {
  const value = config?.[name];
  if (!Number.isSafeInteger(value) || value < least || value > MOST) {
    const expected = `a whole number of at least ${least} and at most ${MOST}`;
    throw damaged(`the model's config has ${name} = ${JSON.stringify(value)}`, expected);
  }
  return value;
}

/**
 * A yes/no option; false in older configs, which lack it.
 * @param {any} config
 * @param {string} name
 * @returns {boolean}
 */
export function flag(config, name) {
  const value = config?.[name] ?? false;
  if (typeof value !== "boolean") {
    throw damaged(`the model's config has ${name} = ${JSON.stringify(value)}`, "true or false");
  }
  return value;
}

/**
 * @param {any} value
 * @param {string} what
 * @returns {string[]}
 */
export function strings(value, what) {
  if (!Array.isArray(value) || value.some((each) => typeof each !== "string")) {
    throw damaged(`the model's vocabulary has no list of ${what}`, "strings");
  }
  if (new Set(value).size < value.length) throw damaged(`the model's ${what} contain duplicates`, "distinct ones");
  return value;
}
