// Shows how often the parts of a query hold, and which labels the matched steps have.

import { liftText } from "studio/panels/search/text.js";
import type { Found } from "studio/state/corpus.js";
import { element, percent } from "studio/ui/draw.js";

const MOST_LABELS = 6;

export function rates({ clauses, labels, steps, count }: Found): HTMLElement[] {
  const parts = clauses.map(({ text, steps: held, left, lift }) => [
    text,
    held.toLocaleString("en"),
    percent(held / Math.max(steps, 1)),
    left.toLocaleString("en"),
    liftText(lift),
  ]);
  const best = Object.entries(labels)
    .sort(([, a], [, b]) => b.share - a.share)
    .slice(0, count > 0 ? MOST_LABELS : 0);
  const shares = best.map(([name, { share, base }]) => [
    name,
    percent(share),
    percent(base),
    liftText(base > 0 ? share / base : null),
  ]);
  const tables = [table("How often each part holds", ["Part", "Steps", "Of all", "Left", "Lift"], parts)];
  if (shares.length > 0)
    tables.push(table("Labels of the matched steps", ["Label", "Of matched", "Of all", "Lift"], shares));
  return tables;
}

function table(title: string, heads: string[], rows: string[][]) {
  const line = ([name, ...numbers]: string[]) =>
    element("tr", {}, [
      element("th", { scope: "row", text: name }),
      ...numbers.map((text) => element("td", { class: "number", text })),
    ]);
  return element("table", { class: "rates" }, [
    element("caption", { text: title }),
    element("thead", {}, [
      element(
        "tr",
        {},
        heads.map((text) => element("th", { scope: "col", text })),
      ),
    ]),
    element("tbody", {}, rows.map(line)),
  ]);
}
