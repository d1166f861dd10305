// The native engine in WebAssembly, which computes a layer without edits if it has been loaded.

import { type Cell, type Scanned, type Values, useNativeScan } from "studio/runtime/cell.js";
import { type CellKind, KINDS } from "studio/runtime/kinds.js";
import type { TrackInfo, TrackWeights } from "studio/types.js";

/** The functions of native/runtime/wasm/layer.cpp. Addresses are numbers, and 0 is null. */
interface Engine {
  memory: WebAssembly.Memory;
  take: (count: number) => number;
  give_back: (array: number) => void;
  kinds: () => number;
  make: (kind: number, C: number, H: number, ih: number, hh: number, bIh: number, bHh: number) => number;
  release: (layer: number) => void;
  run: (
    layer: number,
    T: number,
    reverse: number,
    x: number,
    h0: number,
    c0: number,
    out: number,
    gates: number,
    c: number,
  ) => void;
}

const NUMBERED = Object.keys(KINDS); // as in native/kernel/kinds.h
const MOST = 2 ** 26; // maximum number of values of a run; larger runs stay in JavaScript

let engine: Engine | null = null;

const released: FinalizationRegistry<{ native: Engine; layer: number }> = new FinalizationRegistry(
  ({ native, layer }) => native.release(layer),
);

/** Uses the native engine from now on; `bytes`: of native.wasm. */
export async function useEngine(bytes: BufferSource) {
  const { instance } = await WebAssembly.instantiate(bytes, {});
  const found = instance.exports as any;
  found._initialize();
  engine = found;
  useNativeScan(scanLayer);
}

/** A layer and direction in the engine's memory, which it owns. */
class NativeLayer {
  layer: number;

  constructor(
    private native: Engine,
    private info: TrackInfo,
    weights: TrackWeights,
    private kind: CellKind,
  ) {
    const parts = [weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh];
    const [ih, hh, bIh, bHh] = parts.map((numbers) => {
      if (numbers === null) return 0;
      const at = native.take(numbers.length);
      new Float32Array(native.memory.buffer, at, numbers.length).set(numbers);
      return at;
    });
    const number = 2 * NUMBERED.indexOf(kind.name) + Number(weights.rounds);
    this.layer = native.make(number, info.inputSize, info.units, ih, hh, bIh, bHh);
    [ih, hh, bIh, bHh].forEach((at) => native.give_back(at));
    released.register(this, { native, layer: this.layer });
  }

  /** `x`: [T, C]; `T`: at least 1; `state`: before the first step read; `values`: [T, H] each; written */
  run(x: Float32Array, T: number, state: Values, values: Values) {
    const { native, info, kind } = this;
    const H = info.units;
    const record = recordSize(kind);
    const hasMemory = kind.carried.includes("c");
    const sizes = [T * info.inputSize, H, hasMemory ? H : 0, T * H, T * record * H, hasMemory ? T * H : 0];
    const whole = native.take(sizes.reduce((sum, size) => sum + size, 0));
    let next = whole;
    const places = sizes.map((size) => (next += 4 * size) - 4 * size);
    const [atX, atH, atC, atOut, atGates, atCells] = places.map((at, k) => (sizes[k] === 0 ? 0 : at));
    // Creates a new view each time, because the memory's buffer is replaced when it grows.
    const view = (k: number) => new Float32Array(native.memory.buffer, places[k], sizes[k]);
    view(0).set(x);
    view(1).set(state.h);
    if (hasMemory) view(2).set(state.c);
    native.run(this.layer, T, info.reverse ? 1 : 0, atX, atH, atC, atOut, atGates, atCells);
    const gates = view(4);
    values.h.set(view(3));
    if (hasMemory) values.c.set(view(5));
    kind.gates.forEach((gate, k) => {
      if (gate === "h") return; // a plain RNN's gate is its state
      const to = values[gate];
      for (let t = 0; t < T; t++) to.set(gates.subarray((t * record + k) * H, (t * record + k + 1) * H), t * H);
    });
    native.give_back(whole);
  }
}

const layers: WeakMap<Cell, NativeLayer> = new WeakMap();

/** Runs a layer without edits on x [T, C]; null if there is no engine, or it can't compute such a run. */
function scanLayer(cell: Cell, x: Float32Array, T: number, state: Values): Scanned | null {
  const { info, weights, kind } = cell;
  const inOrder = kind.gates.join() === KINDS[kind.name].gates.join();
  if (engine === null || NUMBERED.indexOf(kind.name) >= engine.kinds()) return null;
  if (T === 0 || weights.weight_hr !== null || !inOrder) return null;
  if (T * (info.inputSize + (recordSize(kind) + 2) * info.units) > MOST) return null;
  const layer = layers.get(cell) ?? new NativeLayer(engine, info, weights, kind);
  layers.set(cell, layer);
  const values = cell.room(T);
  layer.run(x, T, state, values);
  const after = cell.states(cell.at(values, info.reverse ? 0 : T - 1));
  return { track: { info, values, input: x, initial: state, carried: null }, state: after };
}

/** The number of values per unit and step in a record, which also has n_h, the part of n that r multiplies. */
const recordSize = ({ gates, scales }: CellKind) => gates.length + Object.keys(scales).length;
