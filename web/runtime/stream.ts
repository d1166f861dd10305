// Runs one step at a time and carries the state, with the same numbers as a whole run.

import { refuse } from "studio/runtime/errors.js";
import { concatenated } from "studio/runtime/arrays.js";
import { type Lstm, type State, withStates } from "studio/runtime/lstm.js";
import type { Edit, Run, Stream, Track } from "studio/types.js";

type Step = { token: string; tracks: Track[]; out: Float32Array; before: Float32Array };

/** The functions that a stream needs from a model. */
interface Source {
  lstm: Lstm;
  begin: () => State; // before the first step
  embed: (token: string) => Float32Array; // [C]
  check: (x: Float32Array) => void;
  finish: (tokens: string[], tracks: Track[], out: Float32Array, before: Float32Array) => Omit<Run, "edits">;
}

const KEEP = 1000;

/** @param edits with steps counted from the stream's start */
export function createStream(source: Source, edits: readonly Edit[] = []): Stream {
  const { lstm } = source;
  if (lstm.sizes.bidirectional) refuse("a stream of a bidirectional layer", "a unidirectional one", "Run it whole.");
  const bound = lstm.bind(edits, null);
  let state = source.begin();
  let out = lastOutput(state);
  let steps: Step[] = [];
  let t = 0;

  const step: (x: Float32Array, token?: string) => Float32Array = (x, token = String(t)) => {
    source.check(x);
    const done = lstm.run(Float32Array.from(x), 1, bound, state, t);
    steps.push({ token, tracks: done.tracks, out: done.out, before: out });
    ({ state, out } = done);
    t += 1;
    if (steps.length >= 2 * stream.keep) steps = last(stream.keep);
    return out.slice();
  };
  const last = (count: number) => (count > 0 ? steps.slice(-count) : []);

  const stream: Stream = {
    keep: KEEP,
    step,
    read: (token) => step(source.embed(token), token),
    reset: (given) => {
      state = given === undefined ? source.begin() : givenState(lstm, given);
      out = lastOutput(state);
      [steps, t] = [[], given?.t ?? 0];
    },
    run: () => {
      const kept = last(stream.keep);
      if (kept.length === 0) refuse("a stream that has read nothing", "at least one step", "Give it a step.");
      const tracks = lstm.tracks.map((_, k) => joined(kept.map((each) => each.tracks[k])));
      const outs = concatenated(kept.map((each) => each.out));
      const tokens = kept.map(({ token }) => token);
      return Object.freeze({ ...source.finish(tokens, tracks, outs, kept[0].before), edits });
    },
  };
  return stream;
}

/** @returns the last layer's hidden state, from which the next token is predicted */
const lastOutput = (state: State): Float32Array => state[state.length - 1].h;

/** @param given each state of all layers, in order */
const givenState = (lstm: Lstm, given: Record<string, Float32Array | number>): State =>
  withStates(lstm.begin(), (name, [layers, size]) => {
    const all = given[name];
    if (all instanceof Float32Array && all.length === layers * size) return all;
    const got = all instanceof Float32Array ? `${all.length} numbers` : "none";
    return refuse(`a state ${name} of ${got}`, `${layers * size}`, "Begin with a state of this layer.");
  });

/** @param pieces of one layer, in order */
function joined(pieces: Track[]): Track {
  const all = (of: (track: Track) => Float32Array) => concatenated(pieces.map(of));
  const names = Object.keys(pieces[0].values);
  const handedOn = (name: string) => [name, all((track) => (track.carried ?? track.values)[name])];
  return {
    ...pieces[0],
    values: Object.fromEntries(names.map((name) => [name, all((track) => track.values[name])])),
    input: all((track) => track.input as Float32Array),
    carried: pieces.some((track) => track.carried !== null)
      ? Object.fromEntries(Object.keys(pieces[0].initial).map(handedOn))
      : null,
  };
}
