// The compare page: two sentences, two models, or one run before and after its edits, with one cursor for both.

import { align } from "studio/panels/compare/align.js";
import { howControls, whatControls } from "studio/panels/compare/controls.js";
import { comparable, distances, partingOf } from "studio/panels/compare/distance.js";
import { createFigure } from "studio/panels/compare/figure.js";
import type { Layout } from "studio/panels/compare/layout.js";
import { type Pair, blankBecause, counterpart, emptyBecause, pairOf } from "studio/panels/compare/pair.js";
import { openOnTwo } from "studio/panels/compare/second.js";
import type { Scene } from "studio/panels/compare/types.js";
import { readoutOf, comparisonRows, comparisonTable, comparisonVerdict } from "studio/panels/compare/words.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";
import { legend } from "studio/ui/legend.js";
import { fit } from "studio/ui/svg-parts.js";
import { onTheme } from "studio/ui/theme.js";

type Shown = { scene: Scene; figure: ReturnType<typeof createFigure> };

const HELP =
  "Two runs, column by column. The heat maps share one scale, so equal colours mean equal numbers; the " +
  "third shows " +
  "the difference. A ribbon has two strands, one for each run: they run together while both states are the " +
  "same, and otherwise are as far " +
  "apart as the states (the Euclidean distance over all units). A word that is in only one sentence " +
  "is hatched.";

const BLANK = "Two runs side by side: nothing to draw.";

export function mountCompare(app: App): HTMLElement {
  const { store } = app;
  let shown: Shown | null = null;
  let only = -1; // the selected column if only B has it; the view's step is a step of A, so it can't represent such a column
  const { root, body } = panel({
    id: "compare",
    title: "Compare",
    help: HELP,
    exports: {
      svg: () => shown?.figure.picture() ?? null,
      png: () => shown?.figure.picture() ?? null,
      csv: () => (shown ? comparisonRows(shown.scene) : []),
    },
  });
  const parts = {
    note: element("p", { class: "compare-note", role: "status" }),
    verdict: element("p", { class: "verdict", "aria-live": "polite" }),
    legend: element("div", { class: "compare-legend" }),
    readout: element("p", { class: "compare-readout" }),
    stage: element("div", { class: "compare-stage scroll", tabindex: "0", role: "img", "aria-label": BLANK }),
    table: element("details", { class: "compare-more" }, [element("summary", { text: "As a table" })]),
  };
  const how = howControls(app);
  how.append(parts.legend);
  body.append(
    whatControls(app, app.host.boot().models),
    how,
    parts.note,
    parts.verdict,
    parts.readout,
    parts.stage,
    parts.table,
  );

  const mark = () => {
    if (!shown) return;
    const { step, unit } = store.get();
    const k =
      only < 0
        ? Math.max(
            0,
            shown.scene.columns.findIndex(({ a }) => a === step),
          )
        : only;
    shown.figure.mark(k, unit);
    parts.readout.textContent = readoutOf(shown.scene, k, unit);
  };
  const draw = () => {
    if (store.get().page !== "compare") return;
    const pair = pairOf(app);
    parts.note.textContent = pair ? emptyBecause(app, pair) : blankBecause(app);
    if (!pair) {
      shown = null;
      return clear(parts);
    }
    const scene = sceneOf(app, pair, parts.stage.clientWidth);
    [shown, only] = [{ scene, figure: createFigure(scene) }, -1];
    show(scene, shown.figure.root, parts);
    mark();
  };
  store.subscribe(["step"], () => (only = -1));
  subscribe(app, parts.stage, draw, mark);
  openOnTwo(app);
  parts.table.addEventListener("toggle", () => shown && fillTable(parts.table, shown.scene));
  pointing(
    parts.stage,
    app,
    () => shown,
    (k) => {
      only = k;
      mark();
    },
  );
  return root;
}

/** Calls `draw` after changes to the drawing, and `mark` after changes that only move the cursor. */
function subscribe({ store, session }: App, stage: HTMLElement, draw: () => void, mark: () => void) {
  for (const event of ["run", "other", "model", "error"] as const) session.on(event, draw);
  store.subscribe(["page", "track", "quantity", "head", "comparison", "align", "edits"], draw);
  store.subscribe(["step", "unit"], mark);
  onTheme(draw);
  let width = 0;
  new ResizeObserver(() => {
    if (stage.clientWidth === width) return;
    width = stage.clientWidth;
    draw();
  }).observe(stage);
}

function sceneOf({ store }: App, pair: Pair, width: number): Scene {
  const { align: way, quantity, track, head } = store.get();
  const columns = align(
    pair.a.run === pair.b.run || store.get().comparison === "edits" ? "position" : way,
    pair.a.run.tokens,
    pair.b.run.tokens,
  );
  const find = (side: "a" | "b", name: string) => pair[side].run.tracks.find(({ info }) => info.name === name);
  const [a, b] = [find("a", track), find("b", track)];
  const [cellA, cellB] = [pair.a.model.cell, pair.b.model.cell];
  const other = counterpart(quantity, cellA, cellB);
  const state = quantity === "c" && other === "c" ? "c" : "h";
  const strips = pair.a.run.tracks.flatMap((one) => {
    const two = find("b", one.info.name);
    if (!two || !comparable(one, two)) return [];
    const distance = distances(one, two, state, columns);
    return [
      { name: one.info.name, reverse: one.info.reverse, distance, parting: partingOf(distance, one.info.reverse) },
    ];
  });
  const same = quantity === other && comparable(a, b);
  return { pair, columns, a, b, comparable: same, strips, quantity, other, state, head, width };
}

function show(scene: Scene, figure: HTMLElement, parts: Record<"verdict" | "legend" | "stage" | "table", HTMLElement>) {
  const scrolled = parts.stage.scrollLeft;
  const verdict = comparisonVerdict(scene);
  parts.verdict.textContent = verdict;
  parts.legend.replaceChildren(legend(scene.quantity, null));
  parts.stage.setAttribute("aria-label", `Two runs side by side. ${verdict}`);
  parts.stage.replaceChildren(figure);
  fit(figure);
  parts.stage.scrollLeft = scrolled;
  fillTable(parts.table, scene);
}

/** Clears the figure when there are not two runs. */
function clear({
  verdict,
  legend: scale,
  readout,
  stage,
  table,
}: Record<"verdict" | "legend" | "readout" | "stage" | "table", HTMLElement>) {
  for (const part of [verdict, scale, readout, stage]) part.replaceChildren();
  table.querySelector(".scroll")?.remove();
  stage.setAttribute("aria-label", BLANK);
}

/** A table of hundreds of cells is created only when it is opened. */
function fillTable(details: HTMLElement, scene: Scene) {
  details.querySelector(".scroll")?.remove();
  if (details.hasAttribute("open")) details.append(element("div", { class: "scroll" }, [comparisonTable(scene)]));
}

/**
 * A click chooses the step, the unit and, on a ribbon, the track. While the button is held down, the cursor follows
 * the
 * pointer.
 *
 * @param choose called with a column that only B has
 */
function pointing(stage: HTMLElement, { store }: App, current: () => Shown | null, choose: (k: number) => void) {
  const point = (event: PointerEvent) => {
    const shown = current();
    const box = shown?.figure.root.getBoundingClientRect();
    if (!shown || !box) return;
    const { layout } = shown.figure;
    const k = Math.floor((event.clientX - box.left - layout.left) / layout.column);
    const column = shown.scene.columns[k];
    if (!column) return;
    const unit = unitAt(shown.scene, layout, event.clientY - box.top);
    if (unit >= 0) store.set({ unit });
    if (column.a >= 0) store.set({ step: column.a });
    choose(column.a >= 0 ? -1 : k);
  };
  stage.addEventListener("pointerdown", (event) => {
    point(event);
    const band = event.target instanceof Element ? event.target.closest("[data-track]") : null;
    if (band instanceof SVGElement && band.dataset.track) store.set({ track: band.dataset.track });
  });
  stage.addEventListener(
    "pointermove",
    (event) => event.buttons === 1 && event.pointerType === "mouse" && point(event),
  );
}

/** The unit at a height in the figure; -1 outside the maps. */
function unitAt({ a, b }: Scene, layout: Layout, y: number) {
  const maps = [
    { track: a, top: layout.mapA, height: layout.mapHeightA },
    { track: b, top: layout.mapB, height: layout.mapHeightB },
    { track: a, top: layout.difference, height: layout.mapHeightA },
  ];
  const hit = maps.find(({ top, height }) => y >= top && y < top + height);
  return hit?.track ? Math.floor(((y - hit.top) / hit.height) * hit.track.info.units) : -1;
}
