// Model files of hiddenstate in JavaScript.

import { damaged } from "studio/runtime/errors.js";
import { loadModel } from "studio/runtime/model.js";
import { metadataOf } from "studio/runtime/safetensors.js";

/** @typedef {import("studio/types.js").BundleHead} BundleHead */
/** @typedef {import("studio/types.js").Model} Model */

const FORMAT = "hiddenstate.model/1";
const FLAGS = ["bias", "bidirectional"];
const SIZES = ["input_size", "hidden_size", "num_layers", "proj_size"];
const MEANINGS = { i: "input gate", f: "forget gate", g: "cell candidate", o: "output gate", c: "cell state", h: "hidden state" };

export { StudioError as ModelError } from "studio/runtime/errors.js";

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
  const metadata = metadataOf(whole);
  if (metadata.format !== FORMAT) throw damaged(`a file of format ${JSON.stringify(metadata.format)}`, FORMAT);
  return loadModel(headOf(metadata, name), whole);
}

/**
 * What the runtime needs beside the weights.
 * @param {Record<string, string>} metadata
 * @param {string} name
 * @returns {BundleHead}
 */
function headOf(metadata, name) {
  const isLayer = metadata.kind === "layer";
  const head = {
    ...{ format: "hiddenstate-studio", version: 1, kind: isLayer ? "lstm" : metadata.kind, name: name || metadata.kind },
    ...{ gates: isLayer ? (metadata.gates ?? "").split(" ") : ["i", "f", "g", "o"], states: ["c", "h"], meanings: MEANINGS },
    config: isLayer ? sizesOf(metadata) : parsed(metadata, "config"),
    vocabulary: isLayer ? null : parsed(metadata, "vocabulary"),
    tokeniser: "tokeniser" in metadata ? parsed(metadata, "tokeniser") : null,
    ...{ card: "", given: null },
  };
  return /** @type {any} */ (head);
}

/**
 * @param {Record<string, string>} metadata
 * @returns {Record<string, number | boolean>}
 */
function sizesOf(metadata) {
  if (metadata.cell !== "LSTM") throw damaged(`a cell ${JSON.stringify(metadata.cell)}`, "an LSTM");
  const sizes = SIZES.map((name) => [name, Number(metadata[name])]);
  return Object.fromEntries([...sizes, ...FLAGS.map((name) => [name, metadata[name] === "1"])]);
}

/**
 * @param {Record<string, string>} metadata
 * @param {string} name
 * @returns {any}
 */
function parsed(metadata, name) {
  try {
    return JSON.parse(metadata[name]);
  } catch {
    throw damaged(`a file without its ${name}`, "a complete one");
  }
}
