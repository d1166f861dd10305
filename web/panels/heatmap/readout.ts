// Shows the value under the pointer, or else at the cursor, in words and digits, with a button that opens the editor.

import { wordAt } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { trackOf, valueAt } from "studio/state/units.js";
import { element, format } from "studio/ui/draw.js";

export function createReadout({ store, session }: App, scene: { about: (unit: number) => string }, map: HTMLElement) {
  const where = element("span", { class: "soft" });
  const what = element("span", { class: "number heat-value" });
  const rank = element("span", { class: "soft" });
  const edit = () => {
    const { run, model } = session;
    const { step, unit, track, quantity } = store.get();
    if (run === null || !model?.hasWeights) return;
    const detail = {
      place: `${track}.${quantity}`,
      unit,
      t: step,
      value: valueAt(trackOf(run, track), quantity, unit, step),
    };
    map.dispatchEvent(new CustomEvent("hs-edit", { bubbles: true, detail }));
  };
  const button = element("button", {
    type: "button",
    class: "quiet small",
    text: "Edit\u2026",
    title: "Change this value (Enter)",
    on: { click: edit },
  });
  const root = element("p", { class: "heat-readout" }, [where, what, button, rank]);
  const show = (cell: { unit: number; step: number } | null) => {
    const { run, model } = session;
    const view = store.get();
    root.hidden = run === null;
    if (run === null) return;
    const { unit, step } = cell ?? view;
    button.hidden = !model?.hasWeights;
    where.textContent = `unit ${unit}, step ${step} ${wordAt(run, step, 14)}`.trimEnd();
    what.textContent = `${view.quantity} = ${format(valueAt(trackOf(run, view.track), view.quantity, unit, step))}`;
    rank.textContent = scene.about(unit);
  };
  return { root, show, edit, said: () => `${where.textContent}: ${what.textContent}` };
}
