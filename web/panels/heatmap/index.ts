// Units by steps, coloured by one gate or state: a layer's whole memory at a glance.

import { drawHeat, drawTokens, longestToken } from "studio/panels/heatmap/canvas.js";
import { createCursors } from "studio/panels/heatmap/cursors.js";
import { heatKeys } from "studio/panels/heatmap/keys.js";
import { type HeatLayout, cellAt, headHeight, heatLayout } from "studio/panels/heatmap/layout.js";
import { ordered } from "studio/panels/heatmap/order.js";
import { heatPicture, heatRows } from "studio/panels/heatmap/picture.js";
import { createReadout } from "studio/panels/heatmap/readout.js";
import { heatTools } from "studio/panels/heatmap/tools.js";
import { summary } from "studio/panels/heatmap/words.js";
import type { App } from "studio/state/types.js";
import { togglePin, trackOf } from "studio/state/units.js";
import { element, resize } from "studio/ui/draw.js";
import { panel, unread } from "studio/ui/panel.js";
import { legend } from "studio/ui/scales.js";
import { onTheme } from "studio/ui/theme.js";
import { onResize } from "studio/ui/visibility.js";

const HELP =
  "Each row is a hidden unit, each column a time step; the colour shows the value, on a scale that does not " +
  "depend on the sentence (except that c's grows if necessary; if a projection takes h beyond ±1, it gets the " +
  "colour at the end of the scale). Click a cell to see it in the microscope, " +
  "double-click or press P to pin its unit, press Enter to edit it.";

/** The current drawing, shared by all parts of the panel. */
class Scene {
  layout: HeatLayout | null;
  about: (unit: number) => string;
  size: { width: number; height: number };

  constructor() {
    this.layout = null;
    this.about = () => "";
    this.size = { width: 0, height: 0 };
  }
}

export function mountHeatmap(app: App): HTMLElement {
  const { store, session } = app;
  const scene = new Scene();
  const { root, body, tools } = panel({
    id: "heatmap",
    title: "Heat map",
    help: HELP,
    exports: {
      svg: () => heatPicture(app, scene.layout),
      png: () => heatPicture(app, scene.layout),
      csv: () => heatRows(app),
    },
  });
  const head = element("canvas", { class: "heat-head", "aria-hidden": "true" });
  const canvas = element("canvas", { class: "heat-canvas", "aria-hidden": "true" });
  const words = element("p", { class: "unseen", id: "heatmap-words" });
  const map = element(
    "div",
    {
      class: "heat-map",
      tabindex: 0,
      role: "group",
      "aria-roledescription": "heat map",
      "aria-label": "Units by steps. Arrow keys move, P pins, Enter edits.",
      "aria-describedby": words.id,
    },
    [head, canvas],
  );
  const place = element("div", { class: "heat-place" }, [map]);
  const cursors = createCursors(map, place);
  const readout = createReadout(app, scene, map);
  const scale = element("div", { class: "heat-legend" });
  const heard = element("p", { class: "unseen", role: "status" }); // announces the cell that the arrow keys moved to
  body.classList.add("heat-body");
  body.append(unread(session), place, words, heard, element("div", { class: "heat-foot" }, [readout.root, scale]));
  tools.append(...heatTools(app));

  const arrange = () => layOut(app, scene, { head, canvas, map });
  const draw = () => {
    if (!arrange()) return readout.show(null);
    const { run } = session;
    const { quantity } = store.get();
    scale.replaceChildren(legend(quantity, run));
    words.textContent = run ? summary(run, store.get()) : "";
    move();
  };
  const move = () => {
    cursors.show(scene.layout, store.get(), scene.size);
    readout.show(null);
    if (document.activeElement === map) heard.textContent = readout.said();
  };
  session.on("run", draw);
  session.on("other", draw);
  store.subscribe(["track", "quantity", "sort", "pinned", "head"], draw);
  store.subscribe(["step", "unit"], move);
  onTheme(draw);
  onResize(place, (width, height) => {
    scene.size = { width, height };
    draw();
  });
  listen(app, scene, { head, map }, readout, cursors);
  return root;
}

/** @returns whether there is anything to show */
function layOut(
  { store, session }: App,
  scene: Scene,
  { head, canvas, map }: { head: HTMLCanvasElement; canvas: HTMLCanvasElement; map: HTMLElement },
): boolean {
  const { run } = session;
  const { track: name, quantity, sort, head: column, pinned } = store.get();
  map.hidden = run === null;
  if (run === null || scene.size.width === 0) return false;
  const track = trackOf(run, name);
  const { order, about } = ordered(run, track, quantity, sort, column);
  const layout = heatLayout({ ...scene.size, steps: run.steps, pinned, order, longest: longestToken(run.tokens) });
  Object.assign(scene, { layout, about });
  drawHeat(resize(canvas, layout.width, layout.height), layout, track, quantity);
  drawTokens(resize(head, layout.width, headHeight(layout)), layout, run.tokens);
  head.style.marginBottom = `-${headHeight(layout)}px`;
  map.style.width = `${layout.width}px`;
  map.style.height = `${layout.height}px`;
  return true;
}

function listen(
  app: App,
  scene: Scene,
  { head, map }: { head: HTMLElement; map: HTMLElement },
  readout: ReturnType<typeof createReadout>,
  cursors: ReturnType<typeof createCursors>,
) {
  const { store, player } = app;
  const under = (event: MouseEvent) => {
    const box = map.getBoundingClientRect();
    if (event.target === head) return null; // the tokens may cover cells
    return scene.layout && cellAt(scene.layout, event.clientX - box.left, event.clientY - box.top);
  };
  const hover = (cell: ReturnType<typeof cellAt>) => {
    cursors.hover(scene.layout, cell);
    readout.show(cell);
  };
  map.addEventListener("pointermove", (event) => {
    const cell = under(event);
    hover(cell);
    if (cell && event.buttons === 1 && event.pointerType === "mouse") store.set(cell);
  });
  map.addEventListener("pointerleave", () => hover(null));
  map.addEventListener("click", (event) => {
    const cell = under(event);
    if (cell) player.pause();
    if (cell) store.set(cell);
  });
  map.addEventListener("dblclick", (event) => {
    const cell = under(event);
    if (cell) togglePin(store, cell.unit);
  });
  heatKeys(app, map, () => scene.layout, readout.edit);
}
