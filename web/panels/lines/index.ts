// Charts the six values of the pinned units over the sentence, with the gates above and the memory below.

import { type Chart, createChart } from "studio/panels/lines/chart.js";
import { chartReach, stepAt } from "studio/panels/lines/layout.js";
import { linesPicture } from "studio/panels/lines/picture.js";
import type { App } from "studio/state/types.js";
import { shownUnits, trackOf, valueAt } from "studio/state/units.js";
import { element } from "studio/ui/draw.js";
import { panel, unread } from "studio/ui/panel.js";
import { onResize, whenSeen } from "studio/ui/visibility.js";

const HELP =
  "Each pinned unit over the sentence. At the top, its three gates from 0 (closed) to 1 (open): i writes, f keeps, o " +
  "outputs. Below, the candidate g, the cell state c (the memory), and the hidden state h, which the rest of the " +
  "network sees (with a projection, which mixes all units, the element of h with this index). Drag to scrub; the numbers on the right are the values at the cursor.";

export function mountLines(app: App): HTMLElement {
  const { store, session } = app;
  const { root, body } = panel({
    id: "lines",
    title: "Units over time",
    help: HELP,
    exports: { svg: () => linesPicture(app, width), png: () => linesPicture(app, width), csv: () => lineRows(app) },
  });
  const list = element("div", { class: "lines" });
  const hint = element("p", { class: "soft hint", text: "Pin units in the heat map to see several of them here." });
  body.append(unread(session), list, hint);
  let width = 0;
  let charts: Chart[] = [];
  const draw = whenSeen(root, () => {
    const { run, model } = session;
    const view = store.get();
    hint.hidden = run === null || view.pinned.length > 0;
    if (run === null || model === null || width === 0) return list.replaceChildren();
    const track = trackOf(run, view.track);
    const units = shownUnits(view);
    const reach = chartReach(run, track, units);
    charts = units.map((unit, k) =>
      createChart({ model, run, track, unit, width, reach, tokens: k === units.length - 1 }),
    );
    list.replaceChildren(...charts.map((chart) => chart.root));
    return move();
  });
  const move = () => charts.forEach((chart) => chart.show(store.get().step));
  session.on("run", draw);
  session.on("other", draw);
  store.subscribe(["track", "pinned"], draw);
  store.subscribe(["unit"], ({ pinned }) => pinned.length === 0 && draw());
  store.subscribe(["step"], move);
  onResize(list, (wide) => {
    width = Math.floor(wide);
    draw();
  });
  scrub(app, list);
  return root;
}

function scrub({ store, session, player }: App, list: HTMLElement) {
  const go = (event: PointerEvent) => {
    const steps = session.run?.steps ?? 0;
    const box = list.getBoundingClientRect();
    const step = stepAt(event.clientX - box.left, box.width, steps);
    if (step !== null) store.set({ step });
  };
  list.addEventListener("pointerdown", (event) => {
    player.pause();
    if (event.pointerType !== "touch") list.setPointerCapture(event.pointerId);
    go(event);
  });
  list.addEventListener("pointermove", (event) => {
    if (event.buttons === 1) go(event);
  });
}

/** A table with a row for each unit and step. */
function lineRows({ session, store }: App): string[][] {
  const { run, model } = session;
  if (run === null || model === null) return [];
  const view = store.get();
  const track = trackOf(run, view.track);
  const rows = shownUnits(view).flatMap((unit) =>
    run.tokens.map((token, t) => [
      view.track,
      String(unit),
      String(t),
      token,
      ...model.quantities.map((name) => String(valueAt(track, name, unit, t))),
    ]),
  );
  return [["track", "unit", "step", "token", ...model.quantities], ...rows];
}
