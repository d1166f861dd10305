// The Edits panel: the edits, their effect on the run, and things to try.

import type { Spot } from "studio/panels/edits/draft.js";
import { createEditor } from "studio/panels/edits/editor.js";
import { ideaCards, presetBar, searchBox } from "studio/panels/edits/ideas.js";
import { editList, pythonLines } from "studio/panels/edits/list.js";
import { differencePicture } from "studio/panels/edits/picture.js";
import { differenceRows, differenceTable, verdictOf } from "studio/panels/edits/table.js";
import { type Difference, differenceOf } from "studio/state/difference.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";
import { panel } from "studio/ui/panel.js";

const HELP =
  "Change a value inside the run and see what happens. Choose a value in the heat map and press Enter, or click " +
  "one in the cell, and an editor opens there. An edit does exactly what hs.set, hs.scale and hs.add do in " +
  "Python: everything that follows in the " +
  "equations is computed from the changed value, and the rest of the page shows the edited run.";

export function mountEdits(app: App): HTMLElement {
  const { store, session } = app;
  const picture = () => {
    const found = difference(app);
    return found && differencePicture(found);
  };
  const rows = () => {
    const found = difference(app);
    return found ? differenceRows(found) : [];
  };
  const { root, body, tools } = panel({
    id: "edits",
    title: "Edits: what if?",
    help: HELP,
    exports: { svg: picture, png: picture, csv: rows },
  });
  const editor = createEditor(app);
  const list = element("div", { class: "edits-list" });
  const result = element("div", { class: "edits-result" });
  const presets = presetBar(app);
  body.classList.add("edits-body");
  body.append(element("div", { class: "edits-side" }, [list, presets, searchBox(app)]), result);
  tools.append(...historyButtons(app));
  document.body.append(editor.root);

  const draw = () => {
    const { model, run } = session;
    presets.hidden = !model?.hasWeights || !run;
    if (!model || !run) return clear(list, result);
    drawList(app, list, editor.change);
    drawResult(app, result);
    mark();
  };
  const mark = () => markStep(result, store.get().step);
  session.on("run", draw);
  store.subscribe(["edits", "head"], draw);
  store.subscribe(["step"], mark);
  listenForClicks(app, editor.open);
  draw();
  return root;
}

/** @returns null if nothing has been read */
function difference({ session, store }: App): Difference | null {
  const { plain, run } = session;
  return plain && run && differenceOf(plain, run, store.get().head);
}

function historyButtons({ store, session }: App): HTMLElement[] {
  const undo = button("Undo", () => store.undo());
  const redo = button("Redo", () => store.redo());
  const clear = button("Remove all", () => store.change({ edits: [] }, "remove all edits"));
  const refresh = () => {
    undo.disabled = !store.canUndo;
    redo.disabled = !store.canRedo;
    undo.title = store.canUndo ? `Undo: ${store.undoLabel}` : "Nothing to undo";
    clear.disabled = store.get().edits.length === 0;
  };
  session.on("run", refresh);
  store.subscribe(["edits"], refresh);
  refresh();
  return [undo, redo, clear];
}

function drawList({ store, session }: App, list: HTMLElement, change: (index: number, at: DOMRect) => void) {
  const { model, run } = session;
  const { edits } = store.get();
  if (!model || !run) return;
  const remove = (index: number, count: number) => {
    store.change({ edits: edits.filter((_, k) => k < index || k >= index + count) }, "remove an edit");
  };
  list.replaceChildren(
    ...(edits.length
      ? [editList(edits, model, run, { change, remove }), pythonLines(edits, model, run)]
      : [element("p", { class: "edits-none", text: invitation(model.hasWeights) })]),
  );
}

/** Clears the panel when there is no run. */
function clear(list: HTMLElement, result: HTMLElement) {
  list.replaceChildren();
  result.replaceChildren();
}

function invitation(hasWeights: boolean) {
  return hasWeights
    ? "No edits yet. Choose a value in the heat map and press Edit there, click one in the cell, or " +
        "try one of these."
    : "This is a recorded trace. It has no weights and can't be run again, so nothing in it can be changed.";
}

function drawResult(app: App, result: HTMLElement) {
  const { model, run } = app.session;
  if (!model || !run) return;
  if (!run.edits.length) {
    result.replaceChildren(...ideaCards(app, model));
    result.className = "edits-result ideas";
    return;
  }
  const found = difference(app);
  if (!found) return;
  const scrolled = result.querySelector(".scroll")?.scrollLeft ?? 0;
  const scroll = element(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": "Before and after, step by step" },
    [differenceTable(found, (step) => app.store.set({ step }))],
  );
  result.className = "edits-result";
  result.replaceChildren(element("p", { class: "verdict", "aria-live": "polite", text: verdictOf(found) }), scroll);
  scroll.scrollLeft = scrolled;
}

/** Marks the column of the selected step. */
function markStep(result: HTMLElement, step: number) {
  for (const cell of result.querySelectorAll(".here")) cell.classList.remove("here");
  for (const cell of result.querySelectorAll(`tr > :nth-child(${step + 2})`)) cell.classList.add("here");
}

/** Opens the editor wherever a value is clicked, in any panel. */
function listenForClicks({ session }: App, open: (spot: Spot, at: DOMRect) => void) {
  let pointer: PointerEvent | null = null;
  document.addEventListener("pointerup", (event) => (pointer = event), true);
  document.addEventListener("hs-edit", (event) => {
    if (!(event instanceof CustomEvent) || !(event.target instanceof Element) || !session.model?.hasWeights) return;
    open(event.detail, rectangleOf(event.target, pointer));
  });
}

/** The area that the editor must not cover: the clicked point, or the whole element for a key or button. */
function rectangleOf(target: Element, pointer: PointerEvent | null): DOMRect {
  const box = target.getBoundingClientRect();
  if (!pointer || performance.now() - pointer.timeStamp > 400) return box;
  const { clientX: x, clientY: y } = pointer;
  const inside = x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
  return inside ? new DOMRect(x - 8, y - 8, 16, 16) : box;
}
