// The work of attributions: occlusion of every player and, on request, exact Shapley values of those nearest to the
// target.

import { type Occlusion, occlusion, occlusionCost } from "studio/runtime/explain/occlusion.js";
import { createPlayers } from "studio/runtime/explain/players.js";
import { type Shapley, MOST_PLAYERS, shapley, shapleyCost } from "studio/runtime/explain/shapley.js";
import { type Explained, type NamedPlayer, nearest, playersIn } from "studio/state/explained.js";
import type { Job, Work } from "studio/state/job.js";
import type { View } from "studio/types.js";

export interface Setup {
  explained: Explained;
  players: NamedPlayer[];
  few: NamedPlayer[]; // the players that get Shapley values
  all: boolean; // whether these are all that can affect the target
}

export interface Attribution extends Setup {
  occlusion: Occlusion;
  shapley: Shapley | null; // null unless computed
}

export type OcclusionJob = Job<Setup, Occlusion>;

export function setupFor(explained: Explained, view: View): Setup {
  const players = playersIn(explained, view.players);
  const few = nearest(players, explained, MOST_PLAYERS);
  return { explained, players, few, all: few.length === nearest(players, explained, players.length).length };
}

export function occlusionWork({ explained: { subject, target }, players }: Setup): Work<Occlusion> {
  const all = createPlayers(subject, players);
  return { steps: occlusion(all, target), cost: occlusionCost(all, target) };
}

/** Follows the occlusion of the same players. */
export function shapleyWork({ subject: setup }: NonNullable<OcclusionJob["result"]>): Work<Shapley> {
  const { subject, target } = setup.explained;
  const few = createPlayers(subject, setup.few);
  return { steps: shapley(few, target), cost: shapleyCost(few, target) };
}
