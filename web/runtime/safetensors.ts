// The file format of weights: the length of the header, the header (JSON), and the numbers. The header is checked
// against the file, by the rules of hiddenstate.models.model_file, before anything large is allocated. An int8 matrix
// (I8) has a tensor NAME.scale (NAME_scale in a quantised LSTM, where it is 0 for a row of zeros) with a scale for each
// row, by which the row's numbers are multiplied.

import { LARGEST_HEADER, MOST_ENTRIES } from "studio/facts.js";
import { damaged } from "studio/runtime/errors.js";
import { readHalves } from "studio/runtime/half.js";

export interface Tensor {
  shape: number[];
  data: Float32Array; // row after row
  isInt8?: boolean; // of a layer that was quantised, which also rounds what it multiplies
}

const TYPES: Record<string, { bytes: number; read: (view: DataView, data: Float32Array) => void }> = {
  F16: { bytes: 2, read: readHalves },
  BF16: { bytes: 2, read: readBrainFloats },
  F32: { bytes: 4, read: readFloats },
  F64: { bytes: 8, read: readDoubles },
  I8: { bytes: 1, read: readWholes },
};

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1; // as files are
const MOST_PARTS = 2 ** 20; // of a header: 65,536 tensors have fewer

/** of a tensor in the file */
type Place = { dtype: string; shape: number[]; count: number; from: number; to: number };

/** The tensors of a file; with `shares`, those in float32 are parts of the bytes, which nothing may change. */
export function read(bytes: ArrayBuffer, shares: boolean = false): Map<string, Tensor> {
  const { places } = describe(bytes);
  const tensors = new Map();
  for (const [name, { dtype, shape, count, from, to }] of places) {
    const isPart = shares && dtype === "F32" && from % 4 === 0 && IS_LITTLE_ENDIAN;
    const data = isPart ? new Float32Array(bytes, from, count) : new Float32Array(count);
    if (!isPart) TYPES[dtype].read(new DataView(bytes, from, to - from), data);
    tensors.set(name, { shape, data });
  }
  for (const [name, { dtype }] of places) if (dtype === "I8") scale(name, places, tensors);
  return tensors;
}

/** The description of a file: the texts that it stores beside its tensors, and where these are. */
export function describe(bytes: ArrayBuffer): { metadata: Record<string, string>; places: Map<string, Place> } {
  const [header, start] = readHeader(bytes);
  const { __metadata__: metadata = {}, ...entries } = header;
  const isTexts = typeof metadata === "object" && metadata !== null && !Array.isArray(metadata);
  const texts = isTexts ? Object.entries<any>(metadata) : [];
  if (!isTexts || texts.length > MOST_ENTRIES || texts.some(([, value]) => typeof value !== "string")) {
    throw damaged("metadata that are not texts by name, or too many", `at most ${MOST_ENTRIES} texts`);
  }
  if ([...texts.flat(), ...Object.keys(entries)].some((text) => /\p{Surrogate}/u.test(text))) {
    throw damaged("a text in the weights' header with half of a surrogate pair", "whole characters");
  }
  const places = new Map(Object.entries(entries).map(([name, entry]) => [name, placeOf(name, entry, bytes, start)]));
  checkPlaces([...places.values()], start, bytes.byteLength);
  return { metadata: Object.fromEntries(texts), places };
}

/** Requires tensors to fill the data without gaps or overlaps: otherwise they could take many times the file's size. */
function checkPlaces(places: Place[], start: number, end: number) {
  let next = start;
  for (const { from, to } of places.sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== next) throw damaged("tensors with gaps between them, or that overlap", "one after another");
    next = to;
  }
  if (next !== end) throw damaged(`${end - start} bytes of tensors`, `${next - start}, as the header says`);
}

/** Multiplies an int8 matrix by the scales of its rows, and removes the scales. */
function scale(name: string, places: Map<string, Place>, tensors: Map<string, Tensor>) {
  const tensor = tensors.get(name) as Tensor;
  const { shape, data } = tensor;
  if (shape.length < 2) throw damaged(`tensor ${name} of shape [${shape}] holds numbers of type I8`, "a matrix");
  const quantised = tensors.has(`${name}_scale`);
  const beside = quantised ? `${name}_scale` : `${name}.scale`;
  const scales = tensors.get(beside);
  if (scales === undefined) throw damaged(`tensor ${name} holds numbers of type I8, and ${beside} is missing`, "both");
  const { dtype } = places.get(beside) as Place;
  const isFloat = dtype === "F32" || (quantised && dtype === "BF16");
  if (!isFloat || scales.shape.length !== 1 || scales.shape[0] !== shape[0]) {
    const got = `tensor ${beside} has type ${dtype} and shape [${scales.shape}]`;
    throw damaged(got, `F32 and [${shape[0]}], one for each row of ${name}`);
  }
  if (scales.data.some((each) => !((each > 0 || (quantised && each === 0)) && each < Infinity))) {
    throw damaged(`tensor ${beside} contains numbers that are not positive, or not finite`, "positive finite numbers");
  }
  const row = data.length / shape[0];
  for (let k = 0; k < data.length; k++) data[k] *= scales.data[Math.floor(k / row)];
  tensor.isInt8 = quantised && dtype === "F32";
  tensors.delete(beside);
}

/** @returns the header, and the offset of the numbers */
function readHeader(bytes: ArrayBuffer): [Record<string, any>, number] {
  const view = new DataView(bytes);
  const length = bytes.byteLength < 8 ? Infinity : Number(view.getBigUint64(0, true));
  const start = 8 + length;
  if (length > LARGEST_HEADER && start <= bytes.byteLength) {
    throw damaged(`weights with a header of ${length} bytes`, `at most ${LARGEST_HEADER}`);
  }
  if (start > bytes.byteLength) {
    throw damaged(`the weights end after ${bytes.byteLength} bytes, inside their header`, "a whole safetensors file");
  }
  const header = parsed(new Uint8Array(bytes, 8, length));
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw damaged("the weights' header is not an object", "tensors by name");
  }
  return [header, start];
}

function parsed(bytes: Uint8Array): any {
  if (partsOf(bytes) > MOST_PARTS) throw damaged("a header of too many parts", `at most ${MOST_PARTS}`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw damaged("the weights' header is not JSON", "a safetensors file");
  }
}

/** Counts commas and brackets of a JSON text outside strings: its parsed value can take 20 times its size. */
function partsOf(bytes: Uint8Array): number {
  const [quote, backslash, comma, bracket, brace] = Array.from('"\\,[{', (sign) => sign.charCodeAt(0));
  let count = 0;
  let inside = false;
  for (let k = 0; k < bytes.length; k++) {
    const byte = bytes[k];
    if (byte === quote) inside = !inside;
    else if (inside && byte === backslash) k++;
    else if (!inside && (byte === comma || byte === bracket || byte === brace)) count++;
  }
  return count;
}

function placeOf(name: string, entry: any, bytes: ArrayBuffer, start: number): Place {
  const { dtype, shape, data_offsets: offsets } = entry ?? {};
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw damaged(`tensor ${name} has no shape or place in the weights`, "both in the header");
  }
  if (!Object.hasOwn(TYPES, dtype)) {
    throw damaged(`tensor ${name} holds numbers of type ${dtype}`, `one of ${Object.keys(TYPES).join(" ")}`);
  }
  const count = shape.reduce((product, size) => product * size, 1);
  const [from, to] = offsets;
  const size = count * TYPES[dtype].bytes;
  if (to - from !== size) throw damaged(`tensor ${name} of shape [${shape}] has ${to - from} bytes`, `${size}`);
  if (start + to > bytes.byteLength) {
    throw damaged(`the weights end after ${bytes.byteLength} bytes`, `${start + to} or more, for tensor ${name}`);
  }
  return { dtype, shape, count, from: start + from, to: start + to };
}

const isCounts = (value: any): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

function readFloats(view: DataView, data: Float32Array) {
  for (let k = 0; k < data.length; k++) data[k] = view.getFloat32(4 * k, true);
}

function readDoubles(view: DataView, data: Float32Array) {
  for (let k = 0; k < data.length; k++) data[k] = view.getFloat64(8 * k, true);
}

function readWholes(view: DataView, data: Float32Array) {
  for (let k = 0; k < data.length; k++) data[k] = view.getInt8(k);
}

/** A bfloat16 is the upper half of a float32. */
function readBrainFloats(view: DataView, data: Float32Array) {
  const bits = new Uint32Array(data.buffer);
  for (let k = 0; k < bits.length; k++) bits[k] = view.getUint16(2 * k, true) << 16;
}
