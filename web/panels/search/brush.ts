// The sentence that was read, in the colours of the selected unit. Dragging over steps makes a query.

import { type UnitTable, addressOf } from "studio/state/corpus.js";
import { BRUSH_HELP } from "studio/panels/search/text.js";
import { queryOf } from "studio/panels/search/query.js";
import { shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { trackOf, valueAt } from "studio/state/units.js";
import { element, exactly, set } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";
import { tokenColours } from "studio/ui/passage.js";
import { legend } from "studio/ui/scales.js";
import { onTheme } from "studio/ui/theme.js";

const MOST_STEPS = 600;

export function createBrush({ store, session, corpus }: App, search: (query: string) => void): HTMLElement {
  const { root, body, tools } = panel({ id: "brush", title: "From the sentence", help: BRUSH_HELP });
  const words = element("div", {
    class: "brush-words",
    role: "listbox",
    "aria-multiselectable": "true",
    tabindex: 0,
    "aria-label": "Words to search for",
  });
  const says = element("p", { class: "soft", role: "status" });
  const go = element("button", {
    type: "button",
    class: "brush-go",
    hidden: true,
    on: { click: () => search(go.value) },
  });
  const colours = element("span");
  tools.append(colours);
  body.append(words, element("div", { class: "brush-made" }, [says, go]));
  let table: UnitTable | null = null;
  let tokens: HTMLElement[] = [];
  let [anchor, focus] = [-1, -1];
  const values = () => {
    const { run } = session;
    const { track, quantity, unit } = store.get();
    return run === null ? [] : tokens.map((_, t) => valueAt(trackOf(run, track), quantity, unit, t));
  };
  const mark = () => {
    const [low, high] = [Math.min(anchor, focus), Math.max(anchor, focus)];
    tokens.forEach((token, t) => set(token, "aria-selected", String(anchor >= 0 && t >= low && t <= high)));
    set(words, "aria-activedescendant", focus >= 0 ? `brush-${focus}` : null);
    const address = addressOf(store.get());
    const k = table?.columns.unit.indexOf(address) ?? -1;
    go.hidden = anchor < 0 || table === null || k < 0;
    if (go.hidden || table === null) return;
    const stored = table.thresholds[address.replace(/\[.*/, "")] ?? [];
    go.value = queryOf(address, values().slice(low, high + 1), table.columns.median[k], stored);
    go.textContent = `Search: ${go.value}`;
  };
  const draw = () => {
    const { run, model } = session;
    [anchor, focus] = [-1, -1];
    const reason =
      store.get().model !== corpus.about?.model
        ? "Choose the indexed model above: this sentence was read by a different one."
        : run === null
          ? "Nothing has been read yet."
          : "";
    const { quantity } = store.get();
    tokens =
      reason !== "" || run === null
        ? []
        : run.tokens
            .slice(0, MOST_STEPS)
            .map((token, t) =>
              element("span", { id: `brush-${t}`, role: "option", class: "passage-token", text: shownToken(token) }),
            );
    words.classList.toggle("dense", model?.unit === "character");
    words.replaceChildren(...tokens);
    values().forEach((value, t) => {
      tokens[t].title = exactly(value);
      for (const [name, given] of Object.entries(tokenColours(quantity, value)))
        tokens[t].style.setProperty(name, given);
    });
    says.textContent = reason || `Coloured by ${addressOf(store.get())}, the unit selected on the other pages.`;
    colours.replaceChildren(...(tokens.length > 0 ? [legend(quantity)] : []));
    mark();
  };
  listen(words, () => tokens, {
    begin: (t) => ([anchor, focus] = [t, t]) && mark(),
    reach: (t) => {
      if (t === focus) return;
      focus = t;
      mark();
    },
    at: () => focus,
  });
  corpus.units().then(
    (known) => ((table = known), mark()),
    () => {},
  );
  session.on("run", draw);
  store.subscribe(["track", "quantity", "unit", "model"], draw);
  onTheme(draw);
  draw();
  return root;
}

function listen(
  words: HTMLElement,
  tokens: () => HTMLElement[],
  { begin, reach, at }: { begin: (t: number) => void; reach: (t: number) => void; at: () => number },
) {
  const under = ({ clientX, clientY }: PointerEvent) =>
    tokens().indexOf(document.elementFromPoint(clientX, clientY) as HTMLElement);
  let isDown = false;
  words.addEventListener("pointerdown", (event) => {
    const t = under(event);
    if (t < 0) return;
    isDown = true;
    words.setPointerCapture(event.pointerId);
    if (event.shiftKey && at() >= 0) reach(t);
    else begin(t);
  });
  words.addEventListener("pointermove", (event) => {
    const t = isDown ? under(event) : -1;
    if (t >= 0) reach(t);
  });
  for (const end of ["pointerup", "pointercancel"]) words.addEventListener(end, () => (isDown = false));
  words.addEventListener("keydown", (event) => {
    const last = tokens().length - 1;
    const moves: Record<string, number> = { ArrowLeft: at() - 1, ArrowRight: at() + 1, Home: 0, End: last };
    const t = moves[event.key];
    if (t === undefined || last < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const wanted = Math.max(0, Math.min(last, t));
    if (event.shiftKey && at() >= 0) reach(wanted);
    else begin(wanted);
  });
}
