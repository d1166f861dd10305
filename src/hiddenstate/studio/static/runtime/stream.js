// Runs one step at a time and carries the state, with the same numbers as a whole run.

import { concatenated } from "studio/runtime/arrays.js";
import { refuse } from "studio/runtime/common.js";

/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Stream} Stream */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/runtime/lstm.js").Lstm} Lstm */
/** @typedef {import("studio/runtime/lstm.js").State} State */

/** @typedef {{token: string, tracks: Track[], out: Float32Array, before: Float32Array}} Step */

/**
 * The functions that a stream needs from a model.
 * @typedef {object} Source
 * @property {Lstm} lstm
 * @property {() => State} begin before the first step
 * @property {(token: string) => Float32Array} embed [C]
 * @property {(x: Float32Array) => void} check
 * @property {(tokens: string[], tracks: Track[], out: Float32Array, before: Float32Array) => Omit<Run, "edits">} finish
 */

const KEEP = 1000;

/**
 * @param {Source} source
 * @param {readonly Edit[]} edits with steps counted from the stream's start
 * @returns {Stream}
 */
export function streamOf(source, edits = []) {
  const { lstm } = source;
  if (lstm.sizes.bidirectional) {
    refuse("a stream of a bidirectional layer", "a unidirectional one", "Run it whole.");
  }
  const bound = lstm.bind(edits, null);
  let state = source.begin();
  let out = outputOf(state);
  /** @type {Step[]} */
  let steps = [];
  let t = 0;

  /** @type {(x: Float32Array, token?: string) => Float32Array} */
  const step = (x, token = String(t)) => {
    source.check(x);
    const done = lstm.run(Float32Array.from(x), 1, bound, state, t);
    steps.push({ token, tracks: done.tracks, out: done.out, before: out });
    ({ state, out } = done);
    t += 1;
    if (steps.length >= 2 * stream.keep) steps = last(stream.keep);
    return out.slice();
  };
  const last = (/** @type {number} */ count) => (count > 0 ? steps.slice(-count) : []);

  /** @type {Stream} */
  const stream = {
    keep: KEEP,
    step,
    read: (token) => step(source.embed(token), token),
    reset: (given) => {
      state = given === undefined ? source.begin() : stateOf(lstm, given);
      out = outputOf(state);
      [steps, t] = [[], given?.t ?? 0];
    },
    run: () => {
      const kept = last(stream.keep);
      if (kept.length === 0) refuse("a stream that has read nothing", "at least one step", "Give it a step.");
      const tracks = lstm.tracks.map((_, k) => joined(kept.map((each) => each.tracks[k])));
      const outs = concatenated(kept.map((each) => each.out));
      return Object.freeze({ ...source.finish(kept.map(({ token }) => token), tracks, outs, kept[0].before), edits });
    },
  };
  return stream;
}

/**
 * @param {State} state
 * @returns {Float32Array} the last layer's hidden state, from which the next token is predicted
 */
function outputOf(state) {
  return state[state.length - 1].h;
}

/**
 * @param {Lstm} lstm
 * @param {Record<string, Float32Array | number>} given each state of all layers, in order
 * @returns {State}
 */
function stateOf(lstm, given) {
  const zeros = lstm.begin();
  for (const [name, one] of Object.entries(zeros[0])) {
    const all = given[name];
    const expected = zeros.length * one.length;
    if (!(all instanceof Float32Array) || all.length !== expected) {
      const got = all instanceof Float32Array ? `${all.length} numbers` : "none";
      refuse(`a state ${name} of ${got}`, `${expected}`, "Begin with a state of this layer.");
    }
    zeros.forEach((state, k) => state[name].set(all.subarray(k * one.length, (k + 1) * one.length)));
  }
  return zeros;
}

/**
 * @param {Track[]} pieces of one layer, in order
 * @returns {Track}
 */
function joined(pieces) {
  const all = (/** @type {(track: Track) => Float32Array} */ of) => concatenated(pieces.map(of));
  const names = Object.keys(pieces[0].values);
  const handedOn = (/** @type {string} */ name) => [name, all((track) => (track.carried ?? track.values)[name])];
  return {
    ...pieces[0],
    values: Object.fromEntries(names.map((name) => [name, all((track) => track.values[name])])),
    input: all((track) => /** @type {Float32Array} */ (track.input)),
    carried: pieces.some((track) => track.carried !== null)
      ? Object.fromEntries(Object.keys(pieces[0].initial).map(handedOn))
      : null,
  };
}
