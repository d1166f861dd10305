// The spans that a search found, one line each, in the colours of a unit. Passages are fetched when they come into
// view.

import { type Span, unitOf, widened } from "studio/state/corpus.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";
import { passageLine } from "studio/ui/passage.js";
import { onTheme } from "studio/ui/theme.js";
import { virtualList } from "studio/ui/virtual-list.js";

const ROW = 32;

export function createResults(
  { corpus, session }: App,
  fail: (message: string) => void,
): { root: HTMLElement; show: (spans: Span[], unit: string) => void; rows: () => Promise<string[][]> } {
  let spans: Span[] = [];
  let unit = "";
  const wide = (k: number) => widened(spans[k], session.model?.unit === "character" ? 40 : 10);
  const list = virtualList({
    id: "search-list",
    label: "Spans that match",
    height: ROW,
    row: (k) => {
      const [, , start, stop] = spans[k];
      const { quantity } = unitOf(unit);
      return element("div", { class: "search-row" }, [
        element("span", { class: "number soft", text: String(stop - start), title: `${stop - start} steps` }),
        passageLine(corpus.passage(unit, wide(k)), { start, stop, quantity }),
      ]);
    },
    choose: () => {},
    rest: (rows) => {
      const asked = { spans, unit };
      const missing = rows.filter((k) => corpus.passage(unit, wide(k)) === undefined).map(wide);
      if (missing.length === 0) return;
      corpus.fetchPassages(unit, missing).then(
        () => asked.spans === spans && asked.unit === unit && list.redraw(),
        (error) => fail(error.message),
      );
    },
  });
  onTheme(list.redraw);
  const show = (found: Span[], by: string) => {
    [spans, unit] = [found, by];
    list.root.hidden = found.length === 0;
    list.show(found.length);
  };
  const rows = () => spans.map((span) => span.map(String));
  return { root: list.root, show, rows: async () => [["shard", "sequence", "start", "stop"], ...rows()] };
}
