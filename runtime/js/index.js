// Reads hiddenstate's model files in JavaScript.

import { damaged } from "studio/runtime/errors.js";
import { cellIn } from "studio/runtime/kinds.js";
import { loadModel } from "studio/runtime/model.js";
import { describe } from "studio/runtime/safetensors.js";

/** @typedef {import("studio/types.js").BundleHead} BundleHead */
/** @typedef {import("studio/types.js").Model} Model */

const FORMAT = "hiddenstate.model/1";
const FLAGS = ["bias", "bidirectional", "batch_first"];
const SIZES = ["input_size", "hidden_size", "num_layers", "proj_size"];
const STATES = { c: "cell state", h: "hidden state" };
const MEANINGS = {
  LSTM: { i: "input gate", f: "forget gate", g: "cell candidate", o: "output gate", ...STATES },
  GRU: { r: "reset gate", z: "update gate", n: "candidate state", h: STATES.h },
  RNN_TANH: { h: STATES.h },
  RNN_RELU: { h: STATES.h },
};

export { StudioError as ModelError } from "studio/runtime/errors.js";
export { useEngine as accelerate } from "studio/runtime/native.js";

/**
 * Read a model file.
 * @param {ArrayBuffer | Uint8Array} bytes the file
 * @param {string} [name] of the model, for messages
 * @returns {Model}
 */
export function load(bytes, name = "") {
  if (!(bytes instanceof ArrayBuffer || bytes instanceof Uint8Array)) {
    throw damaged(`a file given as ${bytes === null ? "null" : typeof bytes}`, "an ArrayBuffer or a Uint8Array");
  }
  const whole = bytes instanceof ArrayBuffer ? bytes : Uint8Array.from(bytes).buffer;
  const { metadata, places } = describe(whole);
  if (metadata.format !== FORMAT) throw damaged(`a file of format ${JSON.stringify(metadata.format)}`, FORMAT);
  if (metadata.kind === "layer") checkTypes(new Map([...places].map(([tensor, { dtype }]) => [tensor, dtype])));
  const size = [...places.values()].reduce((sum, { from, to }) => sum + to - from, 0);
  return loadModel(headOf(metadata, name, size), whole);
}

/**
 * Requires a layer's tensors to be of one type, F32 or BF16; its matrices may be I8, with scales.
 * @param {Map<string, string>} types by name
 */
function checkTypes(types) {
  const isInt8 = types.has("weight_ih_l0_scale");
  const isMatrix = (/** @type {string} */ name) => isInt8 && types.has(`${name}_scale`);
  const floats = new Set([...types].filter(([name]) => !isMatrix(name)).map(([, type]) => type));
  const isOne = floats.size === 1 && (floats.has("F32") || floats.has("BF16"));
  if (!isOne || [...types].some(([name, type]) => isMatrix(name) && type !== "I8")) {
    const expected = "F32 or BF16, and I8 for all matrices or none";
    throw damaged(`tensors of types ${[...new Set(types.values())].join(" ")}`, expected);
  }
}

/**
 * Returns the data that the runtime needs besides the weights.
 * @param {Record<string, string>} metadata
 * @param {string} name
 * @param {number} size of the tensors, in bytes
 * @returns {BundleHead}
 */
function headOf(metadata, name, size) {
  const isLayer = metadata.kind === "layer";
  const parsed = (/** @type {string} */ entry) => parsedWithin(size, metadata, entry);
  const config = isLayer ? sizesOf(metadata) : parsed("config");
  const cell = isLayer ? metadata.cell : cellIn(config);
  const cells = Object.fromEntries(Object.keys(MEANINGS).map((kind) => [kind, lettersOf(kind)]));
  const order = Object.hasOwn(cells, cell) ? cells[cell].gates.join(" ") : "";
  if (isLayer && metadata.gates !== order) throw damaged(`gates ${JSON.stringify(metadata.gates)}`, `"${order}"`);
  const head = {
    ...{ format: "hiddenstate-studio", version: 1, kind: metadata.kind, name: name || metadata.kind },
    ...{ cell, cells, meanings: MEANINGS[/** @type {keyof typeof MEANINGS} */ (cell)] ?? {}, config },
    vocabulary: isLayer ? null : parsed("vocabulary"),
    tokeniser: "tokeniser" in metadata ? parsed("tokeniser") : null,
    ...{ card: "", given: null },
  };
  return /** @type {any} */ (head);
}

/**
 * The letters of a kind of cell, in torch's order.
 * @param {string} kind
 * @returns {{gates: string[], states: string[]}}
 */
function lettersOf(kind) {
  const letters = Object.keys(MEANINGS[/** @type {keyof typeof MEANINGS} */ (kind)]);
  const states = letters.filter((letter) => letter in STATES);
  return { gates: kind.startsWith("RNN") ? ["h"] : letters.filter((letter) => !(letter in STATES)), states };
}

/**
 * @param {Record<string, string>} metadata
 * @returns {Record<string, number | boolean>}
 */
function sizesOf(metadata) {
  /** @type {Record<string, string>} */
  const all = { batch_first: "0", ...metadata };
  const option = (/** @type {string} */ name, /** @type {RegExp} */ form) => {
    if (!form.test(all[name] ?? "")) throw damaged(`${name} = ${JSON.stringify(all[name])}`, `text of the form ${form}`);
    return Number(all[name]);
  };
  const flags = FLAGS.map((name) => [name, option(name, /^[01]$/) === 1]);
  return Object.fromEntries([...SIZES.map((name) => [name, option(name, /^[0-9]{1,9}$/)]), ...flags]);
}

/**
 * Parses a text of the metadata, which takes many times its size if it has many parts. What a model lists has weights.
 * @param {number} most commas in it
 * @param {Record<string, string>} metadata
 * @param {string} name
 * @returns {any}
 */
function parsedWithin(most, metadata, name) {
  let commas = 0;
  for (const sign of metadata[name] ?? "") if (sign === ",") commas += 1;
  if (commas > most) throw damaged(`a ${name} with more parts than the weights have bytes`, "a complete file");
  try {
    return JSON.parse(metadata[name]);
  } catch {
    throw damaged(`a file without its ${name}`, "a complete one");
  }
}
