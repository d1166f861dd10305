// Contexts of a unit, as lines of coloured words: where it is highest, where it is lowest, and random ones.

import { type UnitCard, unitOf, widened } from "studio/state/corpus.js";
import type { App } from "studio/state/types.js";
import { segments } from "studio/ui/controls.js";
import { element, exactly } from "studio/ui/draw.js";
import { passageLine } from "studio/ui/passage.js";

type Context = UnitCard["contexts"][number];

const CHOICES = [
  { value: "top", text: "Highest", title: "One context of each of the sequences where it is highest" },
  { value: "bottom", text: "Lowest", title: "Where it is lowest" },
  { value: "random", text: "Random", title: "Contexts drawn at random; without them, the others are misleading" },
] as { value: Context["kind"]; text: string; title: string }[];

export function createContexts({ corpus }: App): { root: HTMLElement; show: (card: UnitCard, around: number) => void } {
  let kind: Context["kind"] = "top";
  let shown: { card: UnitCard; around: number } | null = null;
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
  const show = (card: UnitCard, around: number) => ((shown = { card, around }), draw());
  return { root: element("section", { class: "unit-part" }, [pick.root, list]), show };
}
