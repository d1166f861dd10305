// A run's predictions, read from its heads.

import { shownToken } from "studio/state/tokens.js";
import type { Choice, Head, Run } from "studio/types.js";

/** The head with that name, else the first; null if the model predicts nothing. */
export const findHead = (run: Run, name: string): Head | null =>
  run.heads.find((head) => head.name === name) ?? run.heads[0] ?? null;

/** @returns the chosen label */
export function predictionAt(head: Head, t: number): Choice {
  const k = head.chosen[t];
  return { label: head.labels[k], probability: head.probabilities[t * head.labels.length + k] };
}

export const choiceText = ({ label, probability }: Choice) => `${shownToken(label)} ${probability.toFixed(2)}`;

/** The likeliest labels at a step, best first. */
export function likeliest(head: Head, t: number, most: number): Choice[] {
  const K = head.labels.length;
  const row = head.probabilities.subarray(t * K, (t + 1) * K);
  const best: number[] = [];
  for (let k = 0; k < K; k += 1) {
    if (best.length === most && row[k] <= row[best[most - 1]]) continue;
    let at = best.length;
    while (at > 0 && row[best[at - 1]] < row[k]) at -= 1;
    best.splice(at, 0, k);
    if (best.length > most) best.pop();
  }
  return best.map((k) => ({ label: head.labels[k], probability: row[k] }));
}
