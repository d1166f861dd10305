// Contexts of a unit, as lines of coloured words: where it is highest, where it is lowest, and random ones.

import { unitOf, widened } from "studio/state/corpus.js";
import { segments } from "studio/ui/controls.js";
import { element, exactly } from "studio/ui/draw.js";
import { passageLine } from "studio/ui/passage.js";

/** @typedef {import("studio/state/corpus.js").Span} Span */
/** @typedef {import("studio/state/corpus.js").UnitCard} UnitCard */
/** @typedef {import("studio/state/types.js").App} App */
/** @typedef {UnitCard["contexts"][number]} Context */

const CHOICES = /** @type {{value: Context["kind"], text: string, title: string}[]} */ ([
  { value: "top", text: "Highest", title: "One context of each of the sequences where it is highest" },
  { value: "bottom", text: "Lowest", title: "Where it is lowest" },
  { value: "random", text: "Random", title: "Contexts drawn at random; without them, the others are misleading" },
]);

/**
 * @param {App} app
 * @returns {{root: HTMLElement, show: (card: UnitCard, around: number) => void}}
 */
export function createContexts({ corpus }) {
  /** @type {Context["kind"]} */
  let kind = "top";
  /** @type {{card: UnitCard, around: number} | null} */
  let shown = null;
  const list = element("ol", { class: "unit-contexts" });
  const pick = segments("Contexts", CHOICES, (value) => ((kind = value), draw()));
  const draw = () => {
    pick.show(kind);
    if (shown === null) return;
    const { card, around } = shown;
    const { quantity } = unitOf(card.unit);
    const chosen = card.contexts.filter((context) => context.kind === kind);
    const spans = chosen.map(({ shard, sequence, step }) => widened([shard, sequence, step, step + 1], around));
    const fill = () =>
      list.replaceChildren(
        ...chosen.map(({ step, value }, k) =>
          element("li", {}, [
            element("span", { class: "number unit-context-value", text: exactly(value) }),
            passageLine(corpus.passage(card.unit, spans[k]), { start: step, stop: step + 1, quantity }),
          ]),
        ),
      );
    fill();
    corpus.fetchPassages(card.unit, spans).then(
      () => shown?.card === card && fill(),
      (error) => list.replaceChildren(element("li", { class: "problem", text: error.message })),
    );
  };
  const show = (/** @type {UnitCard} */ card, /** @type {number} */ around) => ((shown = { card, around }), draw());
  return { root: element("section", { class: "unit-part" }, [pick.root, list]), show };
}
