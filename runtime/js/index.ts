// Reads hiddenstate's model files in JavaScript.

import { damaged } from "studio/runtime/errors.js";
import { cellIn } from "studio/runtime/kinds.js";
import { loadModel } from "studio/runtime/model.js";
import { metadataOf } from "studio/runtime/safetensors.js";
import type { BundleHead, Model } from "studio/types.js";

const FORMAT = "hiddenstate.model/1";
const FLAGS = ["bias", "bidirectional"];
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
 *
 * @param bytes the file
 * @param name of the model, for messages
 */
export function load(bytes: ArrayBuffer | Uint8Array, name: string = ""): Model {
  if (!(bytes instanceof ArrayBuffer || bytes instanceof Uint8Array)) {
    throw damaged(`a file given as ${bytes === null ? "null" : typeof bytes}`, "an ArrayBuffer or a Uint8Array");
  }
  const whole = bytes instanceof ArrayBuffer ? bytes : Uint8Array.from(bytes).buffer;
  const metadata = metadataOf(whole);
  if (metadata.format !== FORMAT) throw damaged(`a file of format ${JSON.stringify(metadata.format)}`, FORMAT);
  return loadModel(headOf(metadata, name), whole);
}

/** Returns the data that the runtime needs besides the weights. */
function headOf(metadata: Record<string, string>, name: string): BundleHead {
  const isLayer = metadata.kind === "layer";
  const config = isLayer ? sizesOf(metadata) : parsed(metadata, "config");
  const cell = isLayer ? metadata.cell : cellIn(config);
  const cells = Object.fromEntries(Object.keys(MEANINGS).map((kind) => [kind, lettersOf(kind)]));
  if (isLayer && Object.hasOwn(cells, cell)) cells[cell].gates = (metadata.gates ?? "").split(" ");
  const head = {
    ...{ format: "hiddenstate-studio", version: 1, kind: metadata.kind, name: name || metadata.kind },
    ...{ cell, cells, meanings: MEANINGS[cell as keyof typeof MEANINGS] ?? {}, config },
    vocabulary: isLayer ? null : parsed(metadata, "vocabulary"),
    tokeniser: "tokeniser" in metadata ? parsed(metadata, "tokeniser") : null,
    ...{ card: "", given: null },
  };
  return head as any;
}

/** The letters of a kind of cell, in torch's order. A layer's file stores its own order. */
function lettersOf(kind: string): { gates: string[]; states: string[] } {
  const letters = Object.keys(MEANINGS[kind as keyof typeof MEANINGS]);
  const states = letters.filter((letter) => letter in STATES);
  return { gates: kind.startsWith("RNN") ? ["h"] : letters.filter((letter) => !(letter in STATES)), states };
}

function sizesOf(metadata: Record<string, string>): Record<string, number | boolean> {
  const sizes = SIZES.map((name) => [name, Number(metadata[name])]);
  return Object.fromEntries([...sizes, ...FLAGS.map((name) => [name, metadata[name] === "1"])]);
}

function parsed(metadata: Record<string, string>, name: string): any {
  try {
    return JSON.parse(metadata[name]);
  } catch {
    throw damaged(`a file without its ${name}`, "a complete one");
  }
}
