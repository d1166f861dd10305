// The texts of the search page: the grammar of queries, and the result of a search in words.

import type { Found } from "studio/state/corpus.js";
import { percent } from "studio/ui/draw.js";

export const SEARCH_HELP =
  "Finds the longest spans of the corpus over which all conditions hold, each within one sequence. The search is " +
  "exact. If the bits of a threshold are not stored, the corpus is run once more to compute them. Lift is how much more often " +
  "a part holds when the parts before it hold.";

/** each form of a query, and its meaning */
export const GRAMMAR: [string, string][] = [
  ["l1.c[125] > .5", "unit 125 of l1.c is above 0.5; also >= < <="],
  ["l1.c[125] > .5 for 3..", "in spans of at least 3 steps; for 3: exactly 3; for 2..5"],
  ["l1.c[125] > .5, l0.h[7] < .1", "both at the same steps"],
  ["l1.c[125] > .5, l0.h[7] < .1 before", "the second at the step right before the span"],
  ["l0.h[3] > 0, label = VERB after 1..5", "a label at some step, 1 to 5 after the span"],
  ['not (token = "the" or token = "a")', "tokens and labels; and, or, not, brackets"],
];

/** @param step the kind of step: "word" */
export function foundSentence(
  { count, matched_steps: matched, steps, spans, reason, cost }: Found,
  step: string,
): string {
  if (count === 0) return reason;
  const [many, all] = [count.toLocaleString("en"), steps.toLocaleString("en")];
  const first = spans.length < count ? `; the first ${spans.length.toLocaleString("en")} are listed` : "";
  const again = cost > 0 ? ` ${cost.toLocaleString("en")} ${step}s were run again, and the bits are kept.` : "";
  return `${many} ${count === 1 ? "span" : "spans"}, the longest first${first}: ${matched.toLocaleString("en")} of ${all} ${step}s (${percent(matched / Math.max(steps, 1))}).${again}`;
}

export function liftText(value: number | null): string {
  return value === null ? "" : `\u00d7 ${value.toFixed(2)}`;
}
