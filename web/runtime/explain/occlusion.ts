// Occlusion: how much the target loses when one player is replaced, as in hiddenstate.explain.

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

export interface Occlusion {
  whole: number; // the target with all players present
  none: number; // with all replaced
  parts: Float64Array; // [P] the target minus its value without each player
}

export function* occlusion(players: Players, target: Target): Steps<Occlusion> {
  const values = yield* readsOneWay(players.subject)
    ? oneWay(players, target)
    : rowsInBlocks(players, target, players.every.length + 2, isThere);
  const [whole, none] = values;
  return { whole, none, parts: values.subarray(2).map((without) => whole - without) };
}

export function occlusionCost({ subject, every }: Players, target: Target): number {
  if (!readsOneWay(subject)) return (every.length + 2) * subject.steps;
  return every.reduce((sum, { start }) => sum + Math.max(0, target.t + 1 - start), 2 * (target.t + 1));
}

/** Whether a player is present. Row 0 has all players, row 1 has none, and row p + 2 has all except p. */
const isThere = (row: number, player: number) => row === 0 || (row > 1 && row - 2 !== player);

/** Each row starts where it diverges; until then it equals row 0. */
function* oneWay(players: Players, target: Target): Steps<Float64Array> {
  const { subject, every } = players;
  let states = subject.initial.map((state) => repeated(state, 2));
  const numbers = [0, 1];
  for (let t = 0; t <= target.t; t++) {
    const begins = every.findIndex(({ start }) => start === t);
    if (begins >= 0) {
      states = states.map((rows) => joinedRows([rows, someRows(rows, numbers.length, 0, 1)]));
      numbers.push(begins + 2);
    }
    states = yield* stepInBlocks(players, states, t, numbers);
  }
  const values = targetValues(target, states[states.length - 1].h, numbers.length);
  const all = new Float64Array(every.length + 2).fill(values[0]); // later steps don't affect the target
  numbers.forEach((number, r) => (all[number] = values[r]));
  return all;
}

/** @param numbers of the rows */
function* stepInBlocks(players: Players, states: Rows[], t: number, numbers: number[]): Steps<Rows[]> {
  const blocks: Rows[][] = [];
  for (let from = 0; from < numbers.length; from += AT_ONCE) {
    const to = Math.min(numbers.length, from + AT_ONCE);
    const some = states.map((rows) => someRows(rows, numbers.length, from, to));
    blocks.push(stepAll(players, some, t, to - from, (r, player) => isThere(numbers[from + r], player)));
    yield to - from;
  }
  return states.map((_, k) => joinedRows(blocks.map((block) => block[k])));
}
