// One layer in one direction: the six equations, step by step.

import { apply } from "studio/runtime/edits.js";
import { affine, product } from "studio/runtime/linear.js";

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
   * @param {readonly string[]} gates
   */
  constructor(info, weights, gates) {
    this.info = info;
    this.weights = weights;
    this.gates = gates;
    this.z = new Float64Array(4 * info.units);
    this.m = new Float64Array(info.units);
    this.projected = new Float64Array(info.outputs);
  }

  /**
   * Run over T steps; a reverse direction reads the last first.
   * @param {Float32Array} x [T, C]
   * @param {number} T
   * @param {{h: Float32Array, c: Float32Array}} state before the first step read
   * @param {readonly BoundEdit[]} edits
   * @param {number} start the index of the first of these steps in the whole input
   * @returns {{track: Track, state: {h: Float32Array, c: Float32Array}}}
   */
  scan(x, T, state, edits, start) {
    const { info } = this;
    const mine = edits.filter((edit) => edit.track === info.name);
    const values = this.room(T);
    const carried = mine.some((edit) => edit.readout) ? this.room(T) : null;
    const xg = new Float64Array(T * 4 * info.units);
    affine(x, T, this.weights.weight_ih, this.weights.bias_ih, xg);
    let before = state;
    for (let k = 0; k < T; k++) {
      const t = info.reverse ? T - 1 - k : k;
      const here = mine.filter((edit) => edit.times === null || edit.times.has(start + t));
      before = this.step(xg, t, before, here, values, carried);
    }
    const handedOn = carried && { c: carried.c, h: carried.h };
    return { track: { info, values, input: x, h0: state.h, c0: state.c, carried: handedOn }, state: before };
  }

  /**
   * @param {number} T
   * @returns {Values}
   */
  room(T) {
    const { units, outputs } = this.info;
    const gates = this.gates.map((gate) => [gate, new Float32Array(T * units)]);
    return { ...Object.fromEntries(gates), c: new Float32Array(T * units), h: new Float32Array(T * outputs) };
  }

  /**
   * With a readout edit a step is computed twice: with only the write edits, for the state that it passes on, and with
   * all edits, for its output.
   * @param {Float64Array} xg [T, 4H]
   * @param {number} t
   * @param {{h: Float32Array, c: Float32Array}} before
   * @param {BoundEdit[]} edits
   * @param {Values} values
   * @param {Values | null} carried
   * @returns {{h: Float32Array, c: Float32Array}} the state to pass on
   */
  step(xg, t, before, edits, values, carried) {
    const shown = this.at(values, t);
    if (!edits.some((edit) => edit.readout)) {
      this.equations(xg, t, before, shown, seeing(edits));
      if (carried !== null) this.copy(shown, this.at(carried, t));
      return { h: shown.h, c: shown.c };
    }
    const on = this.at(/** @type {Values} */ (carried), t);
    this.equations(xg, t, before, on, seeing(edits.filter((edit) => !edit.readout)));
    this.equations(xg, t, before, shown, seeing(edits));
    return { h: on.h, c: on.c };
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
   * The six equations of one time step.
   * @param {Float64Array} xg the input's part of the pre-activations
   * @param {number} t
   * @param {{h: Float32Array, c: Float32Array}} before
   * @param {Values} now written
   * @param {See} see
   */
  equations(xg, t, before, now, see) {
    const { units } = this.info;
    this.preActivations(xg, t, before.h);
    this.gates.forEach((gate, k) => {
      const pre = this.z.subarray(k * units, (k + 1) * units);
      see?.(`${gate}_pre`, pre);
      squash(gate, pre, now[gate]);
      see?.(gate, now[gate]);
    });
    const { i, f, g, o, c, h } = now;
    for (let u = 0; u < units; u++) c[u] = f[u] * before.c[u] + i[u] * g[u];
    see?.("c", c);
    for (let u = 0; u < units; u++) this.m[u] = o[u] * Math.tanh(c[u]);
    this.project(h);
    see?.("h", h);
  }

  /**
   * @param {Float64Array} xg
   * @param {number} t
   * @param {Float32Array} h of the previous step
   */
  preActivations(xg, t, h) {
    const { z, weights } = this;
    product(weights.weight_hh, Float64Array.from(h), z);
    const bias = weights.bias_hh;
    const from = t * z.length;
    for (let k = 0; k < z.length; k++) z[k] += xg[from + k] + (bias === null ? 0 : bias[k]);
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
 * @param {string} gate the candidate g goes through tanh, the others through the sigmoid
 * @param {Float64Array} pre
 * @param {Float32Array} out
 */
function squash(gate, pre, out) {
  if (gate === "g") {
    for (let u = 0; u < out.length; u++) out[u] = Math.tanh(pre[u]);
  } else {
    for (let u = 0; u < out.length; u++) out[u] = 1 / (1 + Math.exp(-pre[u]));
  }
}
