// Computes one layer in one direction: the equations of its cell, step by step.

import { type BoundEdit, apply } from "studio/runtime/edits.js";
import type { CellKind, CellName } from "studio/runtime/kinds.js";
import { affine, product, rounded } from "studio/runtime/linear.js";
import type { Track, TrackInfo, TrackWeights } from "studio/types.js";

/** by quantity */
export type Values = Record<string, Float32Array>;
type See = ((quantity: string, values: Float32Array | Float64Array) => void) | null;

/** a layer's values at each step, and the state after the last one */
export type Scanned = { track: Track; state: Values };
type Scan = (cell: Cell, x: Float32Array, T: number, state: Values) => Scanned | null;

let nativeScan: Scan = () => null;

/** Lets a native engine compute layers without edits; it returns null for those that it can't. */
export function useNativeScan(scan: Scan) {
  nativeScan = scan;
}

export class Cell {
  hidden: Float64Array<ArrayBuffer>;
  m: Float64Array<ArrayBuffer>;
  projected: Float64Array<ArrayBuffer>;

  constructor(
    public info: TrackInfo,
    public weights: TrackWeights,
    public kind: CellKind,
  ) {
    this.hidden = new Float64Array(kind.gates.length * info.units);
    this.m = new Float64Array(info.units);
    this.projected = new Float64Array(info.outputs);
  }

  /**
   * Runs T steps; a reverse direction reads the last step first.
   *
   * @param x [T, C]
   * @param state before the first step read
   * @param start the index of the first of these steps in the whole input
   */
  scan(x: Float32Array, T: number, state: Values, edits: readonly BoundEdit[], start: number): Scanned {
    const { info } = this;
    const mine = edits.filter((edit) => edit.track === info.name);
    const native = mine.length === 0 ? nativeScan(this, x, T, state) : null;
    if (native !== null) return native;
    const values = this.room(T);
    const carried = mine.some((edit) => edit.readout) ? this.room(T) : null;
    const xg = affine(this.multiplied(x, T), T, this.weights.weight_ih, this.weights.bias_ih);
    let before = state;
    for (let k = 0; k < T; k++) {
      const t = info.reverse ? T - 1 - k : k;
      const here = mine.filter((edit) => edit.times === null || edit.times.has(start + t));
      before = this.step(xg, t, before, here, values, carried);
    }
    const handedOn = carried && this.states(carried);
    return { track: { info, values, input: x, initial: state, carried: handedOn }, state: before };
  }

  /** What the weights multiply of x [T, C] or h: with int8 weights, rounded. */
  multiplied(x: Float32Array, T: number): Float32Array | Float64Array {
    return this.weights.rounds ? rounded(x, T) : x;
  }

  room(T: number): Values {
    const { units, outputs } = this.info;
    const { gates, states } = this.kind;
    const size = (quantity: string) => T * (quantity === "h" ? outputs : units);
    return Object.fromEntries([...gates, ...states].map((quantity) => [quantity, new Float32Array(size(quantity))]));
  }

  /** @returns only the states that go on to the next step */
  states(values: Values): Values {
    return Object.fromEntries(this.kind.carried.map((state) => [state, values[state]]));
  }

  /**
   * Computes a step. With a readout edit it is computed twice: once with only the write edits, for the state that it
   * passes on, and once with all edits, for its output.
   *
   * @param xg [T, G*H]
   * @returns the state to pass on
   */
  step(
    xg: Float64Array,
    t: number,
    before: Values,
    edits: BoundEdit[],
    values: Values,
    carried: Values | null,
  ): Values {
    const shown = this.at(values, t);
    if (!edits.some((edit) => edit.readout)) {
      this.equations(xg, t, before, shown, seeing(edits));
      if (carried !== null) Object.entries(this.at(carried, t)).forEach(([name, to]) => to.set(shown[name]));
      return this.states(shown);
    }
    const on = this.at(carried as Values, t);
    this.equations(xg, t, before, on, seeing(edits.filter((edit) => !edit.readout)));
    this.equations(xg, t, before, shown, seeing(edits));
    return this.states(on);
  }

  /**
   * Computes one step of R rows; each recurrent weight is read once for four of them.
   *
   * @param xg [R, G*H]
   * @returns the states after it
   */
  stepRows(xg: Float64Array, before: Values, R: number): Values {
    const { hidden, weights, kind } = this;
    const [sums, values] = [affine(this.multiplied(before.h, R), R, weights.weight_hh, weights.bias_hh), this.room(R)];
    for (let r = 0; r < R; r++) {
      const [from, to] = [r * hidden.length, (r + 1) * hidden.length];
      hidden.set(sums.subarray(from, to));
      STEPS[kind.name](this, xg.subarray(from, to), this.at(before, r), this.at(values, r), null);
    }
    return this.states(values);
  }

  /** @returns views of one step */
  at(values: Values, t: number): Values {
    const views: Values = {};
    for (const name in values) {
      const size = name === "h" ? this.info.outputs : this.info.units;
      views[name] = values[name].subarray(t * size, (t + 1) * size);
    }
    return views;
  }

  /** The equations of one time step; `xg`: the input's part of the pre-activations; `now`: written. */
  equations(xg: Float64Array, t: number, before: Values, now: Values, see: See) {
    const { hidden, weights, kind } = this;
    product(weights.weight_hh, Float64Array.from(this.multiplied(before.h, 1)), hidden);
    if (weights.bias_hh !== null) add(hidden, weights.bias_hh);
    STEPS[kind.name](this, xg.subarray(t * hidden.length, (t + 1) * hidden.length), before, now, see);
  }

  /** `stacked`: [G*H]; returns [H] the gate's rows */
  rows(stacked: Float64Array, gate: string): Float64Array {
    const { units } = this.info;
    const k = this.kind.gates.indexOf(gate);
    return stacked.subarray(k * units, (k + 1) * units);
  }

  squash(gate: string, pre: Float64Array, now: Values, see: See) {
    see?.(`${gate}_pre`, pre);
    const out = now[gate];
    fill(out, pre, this.kind.activations[gate]);
    see?.(gate, out);
  }

  /** @param h computed from m */
  project(h: Float32Array) {
    const { weight_hr: weight } = this.weights;
    if (weight !== null) product(weight, this.m, this.projected);
    h.set(weight === null ? this.m : this.projected);
  }
}

function seeing(edits: BoundEdit[]): See {
  if (edits.length === 0) return null;
  return (quantity, values) => {
    for (const edit of edits) if (edit.quantity === quantity) apply(edit, values);
  };
}

/** Computes a gate's values. Each activation has its own loop, which is faster than one loop that calls a function. */
function fill(out: Float32Array, pre: Float64Array, activation: string) {
  if (activation === "sigmoid") for (let u = 0; u < out.length; u++) out[u] = 1 / (1 + Math.exp(-pre[u]));
  else if (activation === "tanh") for (let u = 0; u < out.length; u++) out[u] = Math.tanh(pre[u]);
  else for (let u = 0; u < out.length; u++) out[u] = Math.max(0, pre[u]);
}

function add(sums: Float64Array, values: Float32Array | Float64Array) {
  for (let k = 0; k < sums.length; k++) sums[k] += values[k];
}

type Step = (cell: Cell, x: Float64Array, before: Values, now: Values, see: See) => void;

function lstm(cell: Cell, x: Float64Array, before: Values, now: Values, see: See): void {
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

function gru(cell: Cell, x: Float64Array, before: Values, now: Values, see: See): void {
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

function rnn(cell: Cell, x: Float64Array, _before: Values, now: Values, see: See): void {
  add(cell.hidden, x);
  cell.squash("h", cell.hidden, now, see);
}

const STEPS: Record<CellName, Step> = { LSTM: lstm, GRU: gru, RNN_TANH: rnn, RNN_RELU: rnn };
