// Reads hiddenstate's model files in JavaScript.

import { BUNDLE, CELLS, MODEL_FILE } from "studio/facts.js";
import { damaged } from "studio/runtime/errors.js";
import { GraphModel } from "studio/runtime/graph/model.js";
import { cellIn } from "studio/runtime/kinds.js";
import { loadModel } from "studio/runtime/model.js";
import { describe } from "studio/runtime/safetensors.js";
import type { BundleHead, Model } from "studio/types.js";

export { ModelError } from "studio/runtime/errors.js";
export { GraphModel, GraphStream } from "studio/runtime/graph/model.js";
export { useEngine as accelerate } from "studio/runtime/native.js";

/**
 * Read a model file of a layer, a tagger, a language model or a series model.
 *
 * @param bytes the file
 * @param name of the model, for messages
 */
export function load(bytes: ArrayBuffer | Uint8Array, name: string = ""): Model {
  const { whole, metadata, places } = opened(bytes);
  if (metadata.kind === "graph") throw damaged("a file of a whole model", "another kind", "Load it with loadGraph.");
  if (metadata.kind === "layer") checkTypes(new Map([...places].map(([tensor, { dtype }]) => [tensor, dtype])));
  const size = [...places.values()].reduce((sum, { from, to }) => sum + to - from, 0);
  return loadModel(findHead(metadata, name, size), whole);
}

/**
 * Read a file of a whole model, as `hs.save(model, path, args=)` writes it.
 *
 * @param bytes the file
 */
export function loadGraph(bytes: ArrayBuffer | Uint8Array): GraphModel {
  const { whole, metadata } = opened(bytes);
  const { kind } = metadata;
  if (kind !== "graph") throw damaged(`a file of kind ${JSON.stringify(kind)}`, '"graph"', "Load it with load.");
  return new GraphModel(whole);
}

/** The bytes and description of a model file. */
function opened(bytes: ArrayBuffer | Uint8Array) {
  if (!(bytes instanceof ArrayBuffer || bytes instanceof Uint8Array)) {
    const got = `a file given as ${bytes === null ? "null" : typeof bytes}`;
    throw damaged(got, "an ArrayBuffer or a Uint8Array", "Read it first, with readFile or fetch.");
  }
  const whole = bytes instanceof ArrayBuffer ? bytes : Uint8Array.from(bytes).buffer;
  const { metadata, places } = describe(whole);
  const { format } = MODEL_FILE;
  if (metadata.format !== format) throw damaged(`a file of format ${JSON.stringify(metadata.format)}`, format);
  return { whole, metadata, places };
}

/**
 * Requires a layer's tensors to be of one type, F32 or BF16; its matrices may be I8, with scales.
 *
 * @param types by name
 */
function checkTypes(types: Map<string, string>) {
  const isInt8 = types.has("weight_ih_l0_scale");
  const isMatrix = (name: string) => isInt8 && types.has(`${name}_scale`);
  const floats = new Set([...types].filter(([name]) => !isMatrix(name)).map(([, type]) => type));
  const isOne = floats.size === 1 && (floats.has("F32") || floats.has("BF16"));
  if (!isOne || [...types].some(([name, type]) => isMatrix(name) && type !== "I8")) {
    const expected = "F32 or BF16, and I8 for all matrices or none";
    throw damaged(`tensors of types ${[...new Set(types.values())].join(" ")}`, expected);
  }
}

/**
 * Returns the data that the runtime needs besides the weights.
 *
 * @param size of the tensors, in bytes
 */
function findHead(metadata: Record<string, string>, name: string, size: number): BundleHead {
  const isLayer = metadata.kind === "layer";
  const parsed = (entry: string) => parsedWithin(size, metadata, entry);
  const config = isLayer ? sizesOf(metadata) : parsed("config");
  const cell = isLayer ? metadata.cell : metadata.kind === "series-model" ? config?.rnn?.cell : cellIn(config);
  const kind = Object.hasOwn(CELLS, cell) ? CELLS[cell as keyof typeof CELLS] : null;
  const order = kind?.gates.join(" ") ?? "";
  if (isLayer && metadata.gates !== order) throw damaged(`gates ${JSON.stringify(metadata.gates)}`, `"${order}"`);
  const head = {
    ...{ ...BUNDLE, kind: metadata.kind, name: name || metadata.kind },
    ...{ cell, cells: CELLS, meanings: kind?.meanings ?? {}, config },
    vocabulary: isLayer ? null : parsed("vocabulary"),
    tokeniser: "tokeniser" in metadata ? parsed("tokeniser") : null,
    given: null,
  };
  return head as any;
}

function sizesOf(metadata: Record<string, string>): Record<string, number | boolean> {
  const all: Record<string, string> = { batch_first: "0", ...metadata };
  const option = (name: string, form: RegExp) => {
    if (!form.test(all[name] ?? ""))
      throw damaged(`${name} = ${JSON.stringify(all[name])}`, `text of the form ${form}`);
    return Number(all[name]);
  };
  const flags = MODEL_FILE.flags.map((name) => [name, option(name, /^[01]$/) === 1]);
  return Object.fromEntries([...MODEL_FILE.sizes.map((name) => [name, option(name, /^[0-9]{1,9}$/)]), ...flags]);
}

/**
 * Parses a text of the metadata, which takes many times its size if it has many parts. What a model lists has weights.
 *
 * @param most commas in it
 */
function parsedWithin(most: number, metadata: Record<string, string>, name: string): any {
  let commas = 0;
  for (const sign of metadata[name] ?? "") if (sign === ",") commas += 1;
  if (commas > most) throw damaged(`a ${name} with more parts than the weights have bytes`, "a complete file");
  try {
    return JSON.parse(metadata[name]);
  } catch {
    throw damaged(`a file without its ${name}`, "a complete one");
  }
}
