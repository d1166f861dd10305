// Computes one layer in one direction: the equations of its cell, step by step.

import { apply } from "studio/runtime/edits.js";
import { affine, product } from "studio/runtime/linear.js";
import { nativeScan } from "studio/runtime/native.js";

/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/types.js").TrackWeights} TrackWeights */
/** @typedef {import("studio/runtime/edits.js").BoundEdit} BoundEdit */
/** @typedef {Record<string, Float32Array>} Values by quantity */
/** @typedef {((quantity: string, values: Float32Array | Float64Array) => void) | null} See */

/** Computes one layer and direction. */
export class Cell {
  /**
   * @param {TrackInfo} info
   * @param {TrackWeights} weights
   * @param {CellKind} kind
   */
  constructor(info, weights, kind) {
    this.info = info;
    this.weights = weights;
    this.kind = kind;
    this.hidden = new Float64Array(kind.gates.length * info.units);
    this.m = new Float64Array(info.units);
    this.projected = new Float64Array(info.outputs);
  }

  /**
   * Runs T steps; a reverse direction reads the last step first.
   * @param {Float32Array} x [T, C]
   * @param {number} T
   * @param {Values} state before the first step read
   * @param {readonly BoundEdit[]} edits
   * @param {number} start the index of the first of these steps in the whole input
   * @returns {{track: Track, state: Values}}
   */
  scan(x, T, state, edits, start) {
    const { info } = this;
    const mine = edits.filter((edit) => edit.track === info.name);
    const native = mine.length === 0 ? nativeScan(this, x, T, state) : null;
    if (native !== null) return native;
    const values = this.room(T);
    const carried = mine.some((edit) => edit.readout) ? this.room(T) : null;
    const xg = new Float64Array(T * this.hidden.length);
    affine(x, T, this.weights.weight_ih, this.weights.bias_ih, xg);
    let before = state;
    for (let k = 0; k < T; k++) {
      const t = info.reverse ? T - 1 - k : k;
      const here = mine.filter((edit) => edit.times === null || edit.times.has(start + t));
      before = this.step(xg, t, before, here, values, carried);
    }
    const handedOn = carried && this.states(carried);
    return { track: { info, values, input: x, initial: state, carried: handedOn }, state: before };
  }

  /**
   * @param {number} T
   * @returns {Values}
   */
  room(T) {
    const { units, outputs } = this.info;
    const { gates, states } = this.kind;
    const size = (/** @type {string} */ quantity) => T * (quantity === "h" ? outputs : units);
    return Object.fromEntries([...gates, ...states].map((quantity) => [quantity, new Float32Array(size(quantity))]));
  }

  /**
   * @param {Values} values
   * @returns {Values} only the states that go on to the next step
   */
  states(values) {
    return Object.fromEntries(this.kind.carried.map((state) => [state, values[state]]));
  }

  /**
   * Computes a step. With a readout edit it is computed twice: once with only the write edits, for the state that it
   * passes on, and once with all edits, for its output.
   * @param {Float64Array} xg [T, G*H]
   * @param {number} t
   * @param {Values} before
   * @param {BoundEdit[]} edits
   * @param {Values} values
   * @param {Values | null} carried
   * @returns {Values} the state to pass on
   */
  step(xg, t, before, edits, values, carried) {
    const shown = this.at(values, t);
    if (!edits.some((edit) => edit.readout)) {
      this.equations(xg, t, before, shown, seeing(edits));
      if (carried !== null) this.copy(shown, this.at(carried, t));
      return this.states(shown);
    }
    const on = this.at(/** @type {Values} */ (carried), t);
    this.equations(xg, t, before, on, seeing(edits.filter((edit) => !edit.readout)));
    this.equations(xg, t, before, shown, seeing(edits));
    return this.states(on);
  }

  /**
   * @param {Values} values
   * @param {number} t
   * @returns {Values} views of one step
   */
  at(values, t) {
    /** @type {Values} */
    const views = {};
    for (const name in values) {
      const size = name === "h" ? this.info.outputs : this.info.units;
      views[name] = values[name].subarray(t * size, (t + 1) * size);
    }
    return views;
  }

  /**
   * @param {Values} from
   * @param {Values} to
   */
  copy(from, to) {
    for (const name in from) to[name].set(from[name]);
  }

  /**
   * The equations of one time step.
   * @param {Float64Array} xg the input's part of the pre-activations
   * @param {number} t
   * @param {Values} before
   * @param {Values} now written
   * @param {See} see
   */
  equations(xg, t, before, now, see) {
    const { hidden, weights, kind } = this;
    product(weights.weight_hh, Float64Array.from(before.h), hidden);
    if (weights.bias_hh !== null) add(hidden, weights.bias_hh);
    STEPS[kind.name](this, xg.subarray(t * hidden.length, (t + 1) * hidden.length), before, now, see);
  }

  /**
   * @param {Float64Array} stacked [G*H]
   * @param {string} gate
   * @returns {Float64Array} [H] the gate's rows
   */
  rows(stacked, gate) {
    const { units } = this.info;
    const k = this.kind.gates.indexOf(gate);
    return stacked.subarray(k * units, (k + 1) * units);
  }

  /**
   * Computes a gate from its pre-activation.
   * @param {string} gate
   * @param {Float64Array} pre
   * @param {Values} now
   * @param {See} see
   */
  squash(gate, pre, now, see) {
    see?.(`${gate}_pre`, pre);
    const out = now[gate];
    fill(out, pre, this.kind.activations[gate]);
    see?.(gate, out);
  }

  /** @param {Float32Array} h computed from m */
  project(h) {
    const { weight_hr: weight } = this.weights;
    if (weight === null) {
      h.set(this.m);
    } else {
      product(weight, this.m, this.projected);
      h.set(this.projected);
    }
  }
}

/**
 * @param {BoundEdit[]} edits of one step
 * @returns {See}
 */
function seeing(edits) {
  if (edits.length === 0) return null;
  return (quantity, values) => {
    for (const edit of edits) if (edit.quantity === quantity) apply(edit, values);
  };
}

/**
 * Computes a gate's values. Each activation has its own loop, which is faster than one loop that calls a function.
 * @param {Float32Array} out
 * @param {Float64Array} pre
 * @param {string} activation
 */
function fill(out, pre, activation) {
  if (activation === "sigmoid") for (let u = 0; u < out.length; u++) out[u] = 1 / (1 + Math.exp(-pre[u]));
  else if (activation === "tanh") for (let u = 0; u < out.length; u++) out[u] = Math.tanh(pre[u]);
  else for (let u = 0; u < out.length; u++) out[u] = Math.max(0, pre[u]);
}

/**
 * @param {Float64Array} sums changed
 * @param {Float32Array | Float64Array} values
 */
function add(sums, values) {
  for (let k = 0; k < sums.length; k++) sums[k] += values[k];
}

/** @typedef {(cell: Cell, x: Float64Array, before: Values, now: Values, see: See) => void} Step */

/** @type {Step} */
function lstm(cell, x, before, now, see) {
  const { hidden, m, kind, info } = cell;
  add(hidden, x);
  for (const gate of kind.gates) cell.squash(gate, cell.rows(hidden, gate), now, see);
  const { i, f, g, o, c, h } = now;
  for (let u = 0; u < info.units; u++) c[u] = f[u] * before.c[u] + i[u] * g[u];
  see?.("c", c);
  for (let u = 0; u < info.units; u++) m[u] = o[u] * Math.tanh(c[u]);
  cell.project(h);
  see?.("h", h);
}

/** @type {Step} */
function gru(cell, x, before, now, see) {
  for (const gate of ["r", "z"]) {
    const pre = cell.rows(cell.hidden, gate);
    add(pre, cell.rows(x, gate));
    cell.squash(gate, pre, now, see);
  }
  const pre = cell.rows(cell.hidden, "n");
  const { r, z, n, h } = now;
  see?.("n_h", pre);
  for (let u = 0; u < pre.length; u++) pre[u] *= r[u];
  see?.("n_rh", pre);
  add(pre, cell.rows(x, "n"));
  cell.squash("n", pre, now, see);
  for (let u = 0; u < h.length; u++) h[u] = z[u] * before.h[u] + (1 - z[u]) * n[u];
  see?.("h", h);
}

/** @type {Step} */
function rnn(cell, x, _before, now, see) {
  add(cell.hidden, x);
  cell.squash("h", cell.hidden, now, see);
}

/** @type {Record<string, Step>} */
const STEPS = { LSTM: lstm, GRU: gru, RNN_TANH: rnn, RNN_RELU: rnn };
