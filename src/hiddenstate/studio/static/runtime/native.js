// The native engine in WebAssembly, which computes a layer without edits if it has been loaded.

/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/types.js").TrackWeights} TrackWeights */
/** @typedef {Record<string, Float32Array>} Values by quantity */

/**
 * The functions of native/runtime/wasm/layer.cpp. Addresses are numbers, and 0 is null.
 * @typedef {object} Engine
 * @property {WebAssembly.Memory} memory
 * @property {(count: number) => number} take
 * @property {(array: number) => void} give_back
 * @property {(kind: number, C: number, H: number, ih: number, hh: number, bIh: number, bHh: number) => number} make
 * @property {(layer: number) => void} release
 * @property {(layer: number, T: number, reverse: number, x: number, h0: number, c0: number, out: number, gates: number, c: number) => void} run
 */

/**
 * The parts of a cell that the engine uses.
 * @typedef {object} Computed
 * @property {TrackInfo} info
 * @property {TrackWeights} weights
 * @property {CellKind} kind
 * @property {(T: number) => Values} room
 * @property {(values: Values) => Values} states
 * @property {(values: Values, t: number) => Values} at
 */

const KINDS = ["LSTM", "GRU", "RNN_TANH", "RNN_RELU"];
const MOST = 2 ** 26; // maximum number of values of a run; larger runs stay in JavaScript

/** @type {Engine | null} */
let engine = null;

/** @type {FinalizationRegistry<{native: Engine, layer: number}>} */
const released = new FinalizationRegistry(({ native, layer }) => native.release(layer));

/**
 * Uses the native engine from now on.
 * @param {BufferSource} bytes of native.wasm
 */
export async function useEngine(bytes) {
  const { instance } = await WebAssembly.instantiate(bytes, {});
  const found = /** @type {any} */ (instance.exports);
  found._initialize();
  engine = found;
}

/** A layer and direction in the engine's memory, which it owns. */
class NativeLayer {
  /**
   * @param {Engine} native
   * @param {TrackInfo} info
   * @param {TrackWeights} weights
   * @param {CellKind} kind
   */
  constructor(native, info, weights, kind) {
    const parts = [weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh];
    const [ih, hh, bIh, bHh] = parts.map((numbers) => (numbers === null ? 0 : copied(native, numbers)));
    this.native = native;
    this.info = info;
    this.kind = kind;
    this.layer = native.make(KINDS.indexOf(kind.name), info.inputSize, info.units, ih, hh, bIh, bHh);
    [ih, hh, bIh, bHh].forEach((at) => native.give_back(at));
    released.register(this, { native, layer: this.layer });
  }

  /**
   * @param {Float32Array} x [T, C]
   * @param {number} T at least 1
   * @param {Values} state before the first step read
   * @param {Values} values [T, H] each; written
   */
  run(x, T, state, values) {
    const { native, info, kind } = this;
    const H = info.units;
    const record = recordOf(kind);
    const isLstm = kind.name === "LSTM";
    const sizes = [T * info.inputSize, H, isLstm ? H : 0, T * H, T * record * H, isLstm ? T * H : 0];
    const whole = native.take(sizes.reduce((sum, size) => sum + size, 0));
    let next = whole;
    const places = sizes.map((size) => (next += 4 * size) - 4 * size);
    const [atX, atH, atC, atOut, atGates, atCells] = places.map((at, k) => (sizes[k] === 0 ? 0 : at));
    // Creates a new view each time, because the memory's buffer is replaced when it grows.
    const view = (/** @type {number} */ k) => new Float32Array(native.memory.buffer, places[k], sizes[k]);
    view(0).set(x);
    view(1).set(state.h);
    if (isLstm) view(2).set(state.c);
    native.run(this.layer, T, info.reverse ? 1 : 0, atX, atH, atC, atOut, atGates, atCells);
    const gates = view(4);
    values.h.set(view(3));
    if (isLstm) values.c.set(view(5));
    kind.gates.forEach((gate, k) => {
      if (gate === "h") return; // a plain RNN's gate is its state
      const to = values[gate];
      for (let t = 0; t < T; t++) to.set(gates.subarray((t * record + k) * H, (t * record + k + 1) * H), t * H);
    });
    native.give_back(whole);
  }
}

/** @type {WeakMap<Computed, NativeLayer>} */
const layers = new WeakMap();

/**
 * Runs a layer without edits; returns null if there is no engine, or it can't compute such a run.
 * @param {Computed} cell
 * @param {Float32Array} x [T, C]
 * @param {number} T
 * @param {Values} state before the first step read
 * @returns {{track: Track, state: Values} | null}
 */
export function nativeScan(cell, x, T, state) {
  const { info, weights, kind } = cell;
  if (engine === null || T === 0 || weights.weight_hr !== null || !inOrder(kind)) return null;
  if (T * (info.inputSize + (recordOf(kind) + 2) * info.units) > MOST) return null;
  const layer = layers.get(cell) ?? new NativeLayer(engine, info, weights, kind);
  layers.set(cell, layer);
  const values = cell.room(T);
  layer.run(x, T, state, values);
  const after = cell.states(cell.at(values, info.reverse ? 0 : T - 1));
  return { track: { info, values, input: x, initial: state, carried: null }, state: after };
}

/**
 * Whether a file stacks the gates in the engine's order.
 * @param {CellKind} kind
 */
function inOrder({ gates, activations }) {
  return gates.join() === Object.keys(activations).join();
}

/**
 * The number of values per unit and step in a record; a GRU's record also has n_h.
 * @param {CellKind} kind
 */
function recordOf({ name, gates }) {
  return name === "GRU" ? 4 : gates.length;
}

/**
 * @param {Engine} native
 * @param {Float32Array} numbers
 * @returns {number} where they are
 */
function copied(native, numbers) {
  const at = native.take(numbers.length);
  new Float32Array(native.memory.buffer, at, numbers.length).set(numbers);
  return at;
}
