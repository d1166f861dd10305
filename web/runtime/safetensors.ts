// The file format of weights: the length of the header, the header (JSON), and the numbers. The header is checked
// against the file. An int8 matrix (I8) has a tensor NAME.scale (NAME_scale in a quantised LSTM) with a scale for each
// row, by which the row's numbers are multiplied.

import { damaged } from "studio/runtime/errors.js";
import { readHalves } from "studio/runtime/half.js";

export interface Tensor {
  shape: number[];
  data: Float32Array; // row after row
}

const TYPES: Record<string, { bytes: number; read: (view: DataView, data: Float32Array) => void }> = {
  F16: { bytes: 2, read: readHalves },
  BF16: { bytes: 2, read: readBrainFloats },
  F32: { bytes: 4, read: readFloats },
  F64: { bytes: 8, read: readDoubles },
  I8: { bytes: 1, read: readWholes },
};

export function read(bytes: ArrayBuffer): Map<string, Tensor> {
  const [header, start] = headerOf(bytes);
  const tensors = new Map();
  let room = bytes.byteLength - start; // if tensors shared bytes, they could take many times the file's size
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    tensors.set(name, tensorOf(name, entry, bytes, start));
    room -= entry.data_offsets[1] - entry.data_offsets[0];
    if (room < 0) throw damaged("the tensors have more bytes than the file", "tensors that do not overlap");
  }
  for (const name of [...tensors.keys()]) if (header[name].dtype === "I8") scale(name, header, tensors);
  return tensors;
}

/** The texts that a file stores beside its tensors. */
export function metadataOf(bytes: ArrayBuffer): Record<string, string> {
  const [header] = headerOf(bytes);
  const found = Object.entries<any>(header.__metadata__ ?? {}).filter(([, value]) => typeof value === "string");
  return Object.fromEntries(found);
}

/** Multiplies an int8 matrix by the scales of its rows, and removes the scales. */
function scale(name: string, header: Record<string, any>, tensors: Map<string, Tensor>) {
  const { shape, data } = tensors.get(name) as Tensor;
  if (shape.length < 2) throw damaged(`tensor ${name} of shape [${shape}] holds numbers of type I8`, "a matrix");
  const beside = tensors.has(`${name}_scale`) ? `${name}_scale` : `${name}.scale`;
  const scales = tensors.get(beside);
  if (scales === undefined) throw damaged(`tensor ${name} holds numbers of type I8, and ${beside} is missing`, "both");
  if (header[beside].dtype !== "F32" || scales.shape.length !== 1 || scales.shape[0] !== shape[0]) {
    const got = `tensor ${beside} has type ${header[beside].dtype} and shape [${scales.shape}]`;
    throw damaged(got, `F32 and [${shape[0]}], one for each row of ${name}`);
  }
  if (scales.data.some((each) => !(each > 0 && each < Infinity))) {
    throw damaged(`tensor ${beside} contains numbers that are not positive, or not finite`, "positive finite numbers");
  }
  const row = data.length / shape[0];
  for (let k = 0; k < data.length; k++) data[k] *= scales.data[Math.floor(k / row)];
  tensors.delete(beside);
}

/** @returns the header, and the offset of the numbers */
function headerOf(bytes: ArrayBuffer): [Record<string, any>, number] {
  const view = new DataView(bytes);
  const length = bytes.byteLength < 8 ? Infinity : Number(view.getBigUint64(0, true));
  const start = 8 + length;
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
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw damaged("the weights' header is not JSON", "a safetensors file");
  }
}

function tensorOf(name: string, entry: any, bytes: ArrayBuffer, start: number): Tensor {
  const { dtype, shape, data_offsets: offsets } = entry ?? {};
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw damaged(`tensor ${name} has no shape or place in the weights`, "both in the header");
  }
  if (!Object.hasOwn(TYPES, dtype)) {
    throw damaged(`tensor ${name} holds numbers of type ${dtype}`, `one of ${Object.keys(TYPES).join(" ")}`);
  }
  const type = TYPES[dtype];
  const count = shape.reduce((product, size) => product * size, 1);
  const [from, to] = offsets;
  if (to - from !== count * type.bytes) {
    throw damaged(`tensor ${name} of shape [${shape}] has ${to - from} bytes`, `${count * type.bytes}`);
  }
  if (start + to > bytes.byteLength) {
    throw damaged(`the weights end after ${bytes.byteLength} bytes`, `${start + to} or more, for tensor ${name}`);
  }
  const data = new Float32Array(count);
  type.read(new DataView(bytes, start + from, to - from), data);
  return { shape, data };
}

function isCounts(value: any): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function readFloats(view: DataView, data: Float32Array) {
  for (let k = 0; k < data.length; k++) data[k] = view.getFloat32(4 * k, true);
}

function readDoubles(view: DataView, data: Float32Array) {
  for (let k = 0; k < data.length; k++) data[k] = view.getFloat64(8 * k, true);
}

/** A bfloat16 is the upper half of a float32. */
function readBrainFloats(view: DataView, data: Float32Array) {
  const bits = new Uint32Array(data.buffer);
  for (let k = 0; k < bits.length; k++) bits[k] = view.getUint16(2 * k, true) << 16;
}

function readWholes(view: DataView, data: Float32Array) {
  for (let k = 0; k < data.length; k++) data[k] = view.getInt8(k);
}
