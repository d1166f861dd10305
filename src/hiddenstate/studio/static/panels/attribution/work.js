// Computes attributions in slices: occlusion immediately, Shapley values on request.

import { occlusion, occlusionCost } from "studio/runtime/explain/occlusion.js";
import { playersOf } from "studio/runtime/explain/players.js";
import { MOST_PLAYERS, shapley, shapleyCost } from "studio/runtime/explain/shapley.js";
import { nearest, playersIn } from "studio/state/explained.js";
import { inSlices } from "studio/state/slices.js";

/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/runtime/explain/occlusion.js").Occlusion} Occlusion */
/** @typedef {import("studio/runtime/explain/shapley.js").Shapley} Shapley */
/** @typedef {import("studio/state/explained.js").Explained} Explained */
/** @typedef {import("studio/state/explained.js").NamedPlayer} NamedPlayer */

/**
 * The results so far.
 * @typedef {object} Found
 * @property {Explained} explained
 * @property {NamedPlayer[]} players
 * @property {Occlusion | null} occlusion null until computed
 * @property {NamedPlayer[]} few the players with Shapley values
 * @property {boolean} all whether these are all that can affect the target
 * @property {Shapley | null} shapley
 * @property {number} share of the work done; 1 if nothing is running
 * @property {boolean} stopped
 * @property {string} problem
 */

/**
 * @param {(found: Found) => void} tell called when there is more to show
 * @returns {{begin: (explained: Explained, view: View) => void, stop: () => void}}
 */
export function attributions(tell) {
  /** @type {Found | null} */
  let found = null;
  let current = 0; // increases with each job, so that earlier jobs no longer report
  let halt = () => {};
  /**
   * @template T
   * @param {Generator<number, T, void>} work
   * @param {number} cost
   * @param {(value: T) => Partial<Found>} kept
   */
  const run = async (work, cost, kept) => {
    const mine = current;
    const say = (/** @type {Partial<Found>} */ more) => {
      if (mine === current && found) tell((found = { ...found, ...more }));
    };
    const job = inSlices(work, (done) => say({ share: Math.min(0.999, done / cost) }));
    halt = job.stop;
    try {
      const value = await job.result;
      say(value === null ? { share: 1, stopped: true } : { share: 1, ...kept(value) });
    } catch (error) {
      say({ share: 1, problem: error instanceof Error ? error.message : String(error) });
    }
    return mine === current && found !== null && !found.stopped && found.problem === "";
  };

  const begin = async (/** @type {Explained} */ explained, /** @type {View} */ view) => {
    halt();
    const mine = (current += 1);
    found = begun(explained, view);
    tell(found);
    const { subject, target } = explained;
    const all = playersOf(subject, found.players);
    if (!(await run(occlusion(all, target), occlusionCost(all, target), (value) => ({ occlusion: value })))) return;
    if (view.method !== "shapley" || mine !== current) return;
    const few = playersOf(subject, found.few);
    await run(shapley(few, target), shapleyCost(few, target), (value) => ({ shapley: value }));
  };
  return { begin: (explained, view) => void begin(explained, view), stop: () => halt() };
}

/**
 * @param {Explained} explained
 * @param {View} view
 * @returns {Found}
 */
function begun(explained, view) {
  const players = playersIn(explained, view.players);
  const few = nearest(players, explained, MOST_PLAYERS);
  const all = few.length === nearest(players, explained, players.length).length;
  return { explained, players, few, all, occlusion: null, shapley: null, share: 0, stopped: false, problem: "" };
}
