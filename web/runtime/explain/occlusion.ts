// Occlusion: how much the target loses when one player is replaced, as in hiddenstate.explain.

import { type Players, rowsCost, rowTargets, type Steps } from "studio/runtime/explain/players.js";
import type { Target } from "studio/runtime/explain/target.js";

export interface Occlusion {
  whole: number; // the target with all players present
  none: number; // with all replaced
  parts: Float64Array; // [P] the target minus its value without each player
}

/** Whether a player is present. Row 0 has all players, row 1 has none, and row p + 2 has all except p. */
const isThere = (row: number, player: number) => row === 0 || (row > 1 && row - 2 !== player);

export function* occlusion(players: Players, target: Target): Steps<Occlusion> {
  const values = yield* rowTargets(players, target, players.every.length + 2, isThere);
  const [whole, none] = values;
  return { whole, none, parts: values.subarray(2).map((without) => whole - without) };
}

export const occlusionCost = (players: Players, target: Target): number =>
  rowsCost(players, target, players.every.length + 2, isThere);
