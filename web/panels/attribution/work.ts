// Computes attributions in slices: occlusion immediately, Shapley values on request.

import { type Occlusion, occlusion, occlusionCost } from "studio/runtime/explain/occlusion.js";
import { playersOf } from "studio/runtime/explain/players.js";
import { type Shapley, MOST_PLAYERS, shapley, shapleyCost } from "studio/runtime/explain/shapley.js";
import { type Explained, type NamedPlayer, nearest, playersIn } from "studio/state/explained.js";
import { inSlices } from "studio/state/slices.js";
import type { View } from "studio/types.js";

/** The results so far. */
export interface Found {
  explained: Explained;
  players: NamedPlayer[];
  occlusion: Occlusion | null; // null until computed
  few: NamedPlayer[]; // the players with Shapley values
  all: boolean; // whether these are all that can affect the target
  shapley: Shapley | null;
  share: number; // of the work done; 1 if nothing is running
  stopped: boolean;
  problem: string;
}

/** @param tell called when there is more to show */
export function attributions(tell: (found: Found) => void): {
  begin: (explained: Explained, view: View) => void;
  stop: () => void;
} {
  let found: Found | null = null;
  let current = 0; // increases with each job, so that earlier jobs no longer report
  let halt = () => {};
  const run = async <T>(work: Generator<number, T, void>, cost: number, kept: (value: T) => Partial<Found>) => {
    const mine = current;
    const say = (more: Partial<Found>) => {
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

  const begin = async (explained: Explained, view: View) => {
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

function begun(explained: Explained, view: View): Found {
  const players = playersIn(explained, view.players);
  const few = nearest(players, explained, MOST_PLAYERS);
  const all = few.length === nearest(players, explained, players.length).length;
  return { explained, players, few, all, occlusion: null, shapley: null, share: 0, stopped: false, problem: "" };
}
