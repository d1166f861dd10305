// Shows how often the parts of a query hold, and which labels the matched steps have.

import { liftText } from "studio/panels/search/text.js";
import type { Found } from "studio/state/corpus.js";
import { percent } from "studio/ui/draw.js";

const MOST_LABELS = 6;

export function Rates({ of: { clauses, labels, steps, count } }: { of: Found }) {
  const best = Object.entries(labels)
    .sort(([, a], [, b]) => b.share - a.share)
    .slice(0, count > 0 ? MOST_LABELS : 0);
  return (
    <>
      <RateTable
        title="How often each part holds"
        head={["Part", "Steps", "Of all", "Left", "Lift"]}
        rows={clauses.map(({ text, steps: held, left, lift }) => [
          ...[text, held.toLocaleString("en"), percent(held / Math.max(steps, 1))],
          ...[left.toLocaleString("en"), liftText(lift)],
        ])}
      />
      {best.length > 0 && (
        <RateTable
          title="Labels of the matched steps"
          head={["Label", "Of matched", "Of all", "Lift"]}
          rows={best.map(([name, { share, base }]) => [
            ...[name, percent(share), percent(base), liftText(base > 0 ? share / base : null)],
          ])}
        />
      )}
    </>
  );
}

function RateTable({ title, head, rows }: { title: string; head: string[]; rows: string[][] }) {
  return (
    <table class="rates">
      <caption>{title}</caption>
      <thead>
        <tr>
          {head.map((text) => (
            <th scope="col">{text}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, ...numbers]) => (
          <tr>
            <th scope="row">{name}</th>
            {numbers.map((text) => (
              <td class="number">{text}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
