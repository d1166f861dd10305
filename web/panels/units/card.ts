// The card of the selected unit, with its behaviour over the corpus and the effect of zeroing it.

import { type UnitCard, type UnitTable, addressOf } from "studio/state/corpus.js";
import { createContexts } from "studio/panels/units/contexts.js";
import { distribution, effects } from "studio/panels/units/pictures.js";
import { shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { element, exactly, percent } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";

const REST = 200; // milliseconds to wait before requesting a card, in case the user is moving through the gallery

export function createUnitCard(app: App, known: () => UnitTable | null): { root: HTMLElement; update: () => void } {
  const { store, corpus, session } = app;
  const says = element("p", { class: "soft unit-says", role: "status" });
  const contexts = createContexts(app);
  const place = element("div", { class: "unit-card" });
  let asked: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const show = (card: UnitCard) => {
    says.textContent = "";
    const around = session.model?.unit === "character" ? 40 : 10;
    place.replaceChildren(...cardParts(card, contexts.root, actions(card)));
    contexts.show(card, around);
  };
  const actions = (card: UnitCard) => [
    button("Read with it", () => store.set({ page: "read" }), {
      title: "Look at this unit in the sentence on the Read page",
    }),
    button("Search for it", () => store.set({ page: "search", query: queryFor(card, known()) }), {
      title: "Where in the corpus it is high",
    }),
  ];
  const ask = async (address: string) => {
    const control = new AbortController();
    asked = control;
    try {
      const card = await corpus.card(address, control.signal);
      if (asked === control) show(card);
    } catch (error) {
      if (asked !== control) return;
      place.replaceChildren();
      says.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  let shown = "";
  const update = () => {
    const address = addressOf(store.get());
    if (store.get().page !== "units" || address === "" || address === shown || known() === null) return;
    shown = address;
    asked?.abort();
    asked = null;
    clearTimeout(timer);
    const ready = corpus.cards.get(address);
    if (ready) return show(ready);
    says.textContent = `${address}: running parts of the corpus again\u2026`;
    timer = setTimeout(() => void ask(address), REST);
  };
  return { root: element("div", { class: "unit-card-place" }, [says, place]), update };
}

/** A query that finds where a unit is high: above a stored threshold, if there is one that it sometimes exceeds. */
function queryFor({ unit, quantiles }: UnitCard, table: UnitTable | null): string {
  const high = Object.fromEntries(quantiles)[0.95] ?? 0;
  const stored = (table?.thresholds[unit.replace(/\[.*/, "")] ?? []).filter((threshold) => threshold < high);
  return `${unit} > ${stored.at(-1) ?? Number(high.toFixed(2))}`;
}

function cardParts(card: UnitCard, contexts: HTMLElement, actions: HTMLElement[]): Element[] {
  const {
    unit,
    mean,
    deviation,
    low,
    high,
    time_constant: time,
    never_forgets: neverForgets,
    label,
    held_out: r,
    p,
  } = card;
  const numbers = [
    `mean ${exactly(mean)}`,
    `standard deviation ${deviation.toFixed(3)}`,
    `low ${percent(low)}, high ${percent(high)}`,
    ...(neverForgets ? ["never forgets"] : time === null ? [] : [`remembers for ${time.toFixed(1)} steps`]),
  ];
  const numbersOfTest = [
    ...(r === null ? [] : [`r = ${exactly(r)} on held-out sequences`]),
    ...(p === null ? [] : [`p = ${p.toFixed(4)}`]),
  ];
  const tested =
    label === "" ? [] : [element("p", { class: "unit-tested" }, [tag(card), " ", numbersOfTest.join(", ")])];
  return [
    element("div", { class: "unit-top" }, [element("h3", { text: unit }), ...actions]),
    element("p", { class: "soft", text: numbers.join(", ") }),
    distribution(card),
    contexts,
    element("section", { class: "unit-part" }, [
      ...tested,
      element("p", { class: "unit-verdict", text: card.verdict }),
      effects(card),
    ]),
    pairs(
      "Mean at tokens",
      card.tokens.map(([token, value]) => [token, value]),
    ),
    pairs("Outputs that rise most with one more standard deviation", card.logits),
  ];
}

function tag({ label, is_confirmed: isConfirmed, is_used: isUsed }: UnitCard) {
  const [kind, text] = !isConfirmed
    ? ["no", "not confirmed"]
    : isUsed
      ? ["yes", "used for it"]
      : ["no", "correlated, but not shown to be used"];
  return element("span", { class: `unit-tag ${kind}`, text: `${label}: ${text}` });
}

function pairs(title: string, values: [string, number][]) {
  const items = values.map(([name, value]) =>
    element("li", {}, [
      element("b", { text: shownToken(name) }),
      element("span", { class: "number", text: exactly(value) }),
    ]),
  );
  return element("section", { class: "unit-part", hidden: values.length === 0 }, [
    element("h4", { text: title }),
    element("ul", { class: "unit-pairs" }, items),
  ]);
}
