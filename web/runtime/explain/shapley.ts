// Exact Shapley values: a player's mean contribution over all orders in which players can be added.

import {
  AT_ONCE,
  type Players,
  readsOneWay,
  rowsInBlocks,
  stepAll,
  targetValues,
} from "studio/runtime/explain/players.js";
import { type Rows, type Steps, joinedRows, repeated, someRows } from "studio/runtime/explain/rows.js";
import type { Target } from "studio/runtime/explain/target.js";

export interface Shapley {
  parts: Float64Array; // [P]
  whole: number; // the target with all players
  none: number; // with none
  residual: number; // whole - none - Σ parts: the rounding error
}

export const MOST_PLAYERS = 10;

/** `players`: MOST_PLAYERS at most; yields the row-steps done */
export function* shapley(players: Players, target: Target): Steps<Shapley> {
  const values = yield* readsOneWay(players.subject)
    ? byTree(players, target)
    : rowsInBlocks(players, target, 2 ** players.every.length, (mask, player) => ((mask >> player) & 1) === 1);
  const parts = shapleyParts(values);
  const [none, whole] = [values[0], values[values.length - 1]];
  return { parts, whole, none, residual: parts.reduce((left, part) => left - part, whole - none) };
}

export function shapleyCost(players: Players, target: Target): number {
  const { subject, every } = players;
  if (!readsOneWay(subject)) return 2 ** every.length * subject.steps;
  let [rows, cost] = [1, 0];
  for (const { start, stop, player } of playerSegments(players, target.t)) {
    rows *= player < 0 ? 1 : 2;
    cost += rows * (stop - start);
  }
  return cost;
}

/** `f`: the target for every mask [2^P]: bit p is set if player p is present; returns [P] */
function shapleyParts(f: Float64Array): Float64Array {
  const P = Math.log2(f.length);
  const weights = subsetWeights(P);
  const parts = new Float64Array(P);
  for (let mask = 0; mask < f.length; mask++) {
    const size = mask.toString(2).replaceAll("0", "").length;
    for (let p = 0; p < P; p++) if (!((mask >> p) & 1)) parts[p] += weights[size] * (f[mask | (1 << p)] - f[mask]);
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

/** Masks with a common prefix share its steps, as in hiddenstate.explain.attribution.shapley. */
function* byTree(players: Players, target: Target): Steps<Float64Array> {
  const values = new Float64Array(2 ** players.every.length);
  const segments = playerSegments(players, target.t);
  const begin = players.subject.initial.map((state) => repeated(state, 1));
  yield* grow({ players, target, segments, values }, 0, begin, [0]);
  const seen = segments.reduce((mask, { player }) => (player < 0 ? mask : mask | (1 << player)), 0);
  return values.map((_, mask) => values[mask & seen]); // later players don't affect the target
}

/** steps of one player, or of no player (-1) */
type Segment = { start: number; stop: number; player: number };
type Tree = { players: Players; target: Target; segments: Segment[]; values: Float64Array };

/** @returns of steps 0 .. t */
function playerSegments({ owner }: Players, t: number): Segment[] {
  const found: Segment[] = [];
  for (let at = 0; at <= t; at++) {
    const last = found.at(-1);
    if (last?.player === owner[at]) last.stop = at + 1;
    else found.push({ start: at, stop: at + 1, player: owner[at] });
  }
  return found;
}

/** Runs a segment and all later ones, depth first, for rows (by their masks) that start from some states. */
function* grow(tree: Tree, level: number, states: Rows[], masks: number[]): Steps<void> {
  const { player } = tree.segments[level];
  const forks = player >= 0;
  if (forks && masks.length > 1 && 2 * masks.length > AT_ONCE) {
    const half = masks.length >> 1;
    const some = (from: number, to: number) => states.map((rows) => someRows(rows, masks.length, from, to));
    yield* grow(tree, level, some(0, half), masks.slice(0, half));
    return yield* grow(tree, level, some(half, masks.length), masks.slice(half));
  }
  const now = forks ? [...masks, ...masks.map((mask) => mask | (1 << player))] : masks;
  const begin = forks ? states.map((rows) => joinedRows([rows, rows])) : states;
  yield* segment(tree, level, begin, now);
}

function* segment(tree: Tree, level: number, begin: Rows[], masks: number[]): Steps<void> {
  const { players, target, segments, values } = tree;
  let states = begin;
  for (let t = segments[level].start; t < segments[level].stop; t++) {
    states = stepAll(players, states, t, masks.length, (r, player) => ((masks[r] >> player) & 1) === 1);
    yield masks.length;
  }
  if (level < segments.length - 1) return yield* grow(tree, level + 1, states, masks);
  const found = targetValues(target, states[states.length - 1].h, masks.length);
  masks.forEach((mask, r) => (values[mask] = found[r]));
}
