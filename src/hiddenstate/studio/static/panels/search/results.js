// The spans that a search found, one line each, in the colours of a unit. Passages are fetched when they come into
// view.

import { unitOf, widened } from "studio/state/corpus.js";
import { element } from "studio/ui/draw.js";
import { passageLine } from "studio/ui/passage.js";
import { onTheme } from "studio/ui/theme.js";
import { virtualList } from "studio/ui/virtual-list.js";

/** @typedef {import("studio/state/corpus.js").Span} Span */
/** @typedef {import("studio/state/types.js").App} App */

const ROW = 32;

/**
 * @param {App} app
 * @param {(message: string) => void} fail
 * @returns {{root: HTMLElement, show: (spans: Span[], unit: string) => void, rows: () => Promise<string[][]>}}
 */
export function createResults({ corpus, session }, fail) {
  /** @type {Span[]} */
  let spans = [];
  let unit = "";
  const wide = (/** @type {number} */ k) => widened(spans[k], session.model?.unit === "character" ? 40 : 10);
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
  const show = (/** @type {Span[]} */ found, /** @type {string} */ by) => {
    [spans, unit] = [found, by];
    list.root.hidden = found.length === 0;
    list.show(found.length);
  };
  const rows = () => spans.map((span) => span.map(String));
  return { root: list.root, show, rows: async () => [["shard", "sequence", "start", "stop"], ...rows()] };
}
