// A run's predictions, read from its heads.

import { shownToken } from "studio/state/tokens.js";

/** @typedef {import("studio/types.js").Choice} Choice */
/** @typedef {import("studio/types.js").Head} Head */
/** @typedef {import("studio/types.js").Run} Run */

/**
 * @param {Run} run
 * @param {string} name
 * @returns {Head | null} the head the one with that name, else the first; null where a model predicts nothing
 */
export function headOf(run, name) {
  return run.heads.find((head) => head.name === name) ?? run.heads[0] ?? null;
}

/**
 * @param {Head} head
 * @param {number} t
 * @returns {Choice} the chosen label
 */
export function predictionAt(head, t) {
  const k = head.chosen[t];
  return { label: head.labels[k], probability: head.probabilities[t * head.labels.length + k] };
}

/** @param {Choice} choice */
export function choiceText({ label, probability }) {
  return `${shownToken(label)} ${probability.toFixed(2)}`;
}

/**
 * The likeliest labels at a step, best first.
 * @param {Head} head
 * @param {number} t
 * @param {number} most
 * @returns {Choice[]}
 */
export function likeliest(head, t, most) {
  const K = head.labels.length;
  const row = head.probabilities.subarray(t * K, (t + 1) * K);
  /** @type {number[]} */
  const best = [];
  for (let k = 0; k < K; k += 1) {
    if (best.length === most && row[k] <= row[best[most - 1]]) continue;
    let at = best.length;
    while (at > 0 && row[best[at - 1]] < row[k]) at -= 1;
    best.splice(at, 0, k);
    if (best.length > most) best.pop();
  }
  return best.map((k) => ({ label: head.labels[k], probability: row[k] }));
}
