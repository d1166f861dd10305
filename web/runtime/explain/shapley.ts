// Exact Shapley values: a player's mean contribution over all orders in which players can be added.

import { type Players, rowsCost, rowTargets, type Steps } from "studio/runtime/explain/players.js";
import type { Target } from "studio/runtime/explain/target.js";

export interface Shapley {
  parts: Float64Array; // [P]
  whole: number; // the target with all players
  none: number; // with none
  residual: number; // whole - none - Σ parts: the rounding error
}

export const MOST_PLAYERS = 10;

/** Whether a player is in the subset of a row, whose bits are the players. */
const isIn = (mask: number, player: number) => ((mask >> player) & 1) === 1;

/** `players`: MOST_PLAYERS at most; yields the row-steps done */
export function* shapley(players: Players, target: Target): Steps<Shapley> {
  const values = yield* rowTargets(players, target, 2 ** players.every.length, isIn);
  const parts = shapleyParts(values);
  const [none, whole] = [values[0], values[values.length - 1]];
  return { parts, whole, none, residual: parts.reduce((left, part) => left - part, whole - none) };
}

export const shapleyCost = (players: Players, target: Target): number =>
  rowsCost(players, target, 2 ** players.every.length, isIn);

/** `f`: the target for every mask [2^P]: bit p is set if player p is present; returns [P] */
function shapleyParts(f: Float64Array): Float64Array {
  const P = Math.log2(f.length);
  const weights = subsetWeights(P);
  const parts = new Float64Array(P);
  for (let mask = 0; mask < f.length; mask++) {
    const size = mask.toString(2).replaceAll("0", "").length;
    for (let p = 0; p < P; p++) if (!isIn(mask, p)) parts[p] += weights[size] * (f[mask | (1 << p)] - f[mask]);
  }
  return parts;
}

/** @returns 1 / (P · (P-1 over k)) if k of the others are present */
function subsetWeights(P: number): number[] {
  const weights = [];
  for (let size = 0, ways = 1; size < P; size++) {
    weights.push(1 / (P * ways));
    ways = (ways * (P - 1 - size)) / (size + 1);
  }
  return weights;
}
