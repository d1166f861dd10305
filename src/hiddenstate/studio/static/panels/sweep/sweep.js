// The sweep: the target with every state of the other text patched into this one, one at a time.

import { allPlaces, sweep } from "studio/runtime/explain/sweep.js";
import { outputAt } from "studio/runtime/explain/target.js";
import { subjectFor } from "studio/state/explained.js";
import { readInput } from "studio/state/input.js";
import { inSlices } from "studio/state/slices.js";

/** @typedef {import("studio/types.js").Subject} Subject */
/** @typedef {import("studio/runtime/explain/sweep.js").Place} Place */
/** @typedef {import("studio/state/explained.js").Explained} Explained */

/**
 * Two texts with the same number of steps, and the target in both.
 * @typedef {object} Pair
 * @property {Explained} explained
 * @property {Subject} other
 * @property {number} whole the target in this text
 * @property {number} patched the target, read at the same step, in the other
 */

/**
 * @typedef {object} Sweep
 * @property {Pair} pair
 * @property {Place[]} places track by track, c before h, T each
 * @property {Float64Array | null} effects how far each moves the target; null until computed
 * @property {number} share of the work done; 1 if nothing is running
 * @property {boolean} stopped
 */

/**
 * @param {Explained} explained
 * @param {string} text the other one
 * @returns {{pair: Pair, reason: ""} | {pair: null, reason: string}}
 */
export function pairWith(explained, text) {
  const { model, subject, target } = explained;
  const no = (/** @type {string} */ reason) => ({ pair: null, reason });
  if (subject.cells.length === 0) return no("A recorded trace has no weights and can't be run again, so nothing can be patched into it.");
  try {
    const run = readInput(model, text);
    if (run === null) return no("The other text is empty.");
    const other = subjectFor(model, run);
    if (other.steps !== subject.steps) {
      const [many, here] = [other.steps - other.lead, subject.steps - subject.lead];
      return no(`The other text has ${many} ${model.unit}s, but this one has ${here}. They must have the same number.`);
    }
    if (differing(subject, other).length === 0) return no(`The two texts are the same. Change a ${model.unit} in the other one.`);
    const read = (/** @type {Subject} */ one) => target.of(outputAt(one, target.t));
    return { pair: { explained, other, whole: read(subject), patched: read(other) }, reason: "" };
  } catch (error) {
    return no(error instanceof Error ? error.message : String(error));
  }
}

/**
 * The steps whose inputs differ.
 * @param {Subject} a
 * @param {Subject} b with the same number of steps
 * @returns {number[]}
 */
export function differing(a, b) {
  const inputs = [a, b].map(({ tracks }) => /** @type {Float32Array} */ (tracks[0].input));
  const C = inputs[0].length / a.steps;
  return Array.from({ length: a.steps }, (_, t) => t).filter((t) => {
    const [one, two] = inputs.map((input) => input.subarray(t * C, (t + 1) * C));
    return a.tokens[t] !== b.tokens[t] || one.some((value, k) => value !== two[k]);
  });
}

/**
 * @param {(sweep: Sweep) => void} tell
 * @returns {{begin: (pair: Pair) => void, stop: () => void}}
 */
export function sweeping(tell) {
  let halt = () => {};
  let current = 0;
  const begin = async (/** @type {Pair} */ pair) => {
    halt();
    const mine = (current += 1);
    const { subject, target } = pair.explained;
    const places = allPlaces(subject);
    /** @type {Sweep} */
    let progress = { pair, places, effects: null, share: 0, stopped: false };
    const say = (/** @type {Partial<Sweep>} */ more) => {
      if (mine === current) tell((progress = { ...progress, ...more }));
    };
    say({});
    const work = sweep(subject, pair.other, target, places);
    const job = inSlices(work, (done) => say({ share: Math.min(0.999, done / places.length) }));
    halt = job.stop;
    const values = await job.result;
    say(values === null ? { share: 1, stopped: true } : { share: 1, effects: values.map((value) => value - pair.whole) });
  };
  return { begin: (pair) => void begin(pair), stop: () => halt() };
}
