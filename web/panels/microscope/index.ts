// The cell microscope: one step of the model, from the whole model down to the products behind one unit's gate.

import { circuit } from "studio/panels/microscope/circuit.js";
import { crumbs } from "studio/panels/microscope/crumbs.js";
import { gateLevel } from "studio/panels/microscope/gate.js";
import { layerLevel } from "studio/panels/microscope/layer.js";
import { modelLevel } from "studio/panels/microscope/model.js";
import type { Level, Pace, Scene } from "studio/panels/microscope/types.js";
import { neighbours } from "studio/state/moment.js";
import { stepName } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { trackOf } from "studio/state/units.js";
import type { Model, Run, View } from "studio/types.js";
import { element } from "studio/ui/draw.js";
import { beginningOf, wayOf } from "studio/ui/moment-words.js";
import { panel, unread } from "studio/ui/panel.js";
import { isCalm } from "studio/ui/theme.js";

const LEVELS: Record<View["zoom"], (scene: Scene) => Level> = {
  model: modelLevel,
  layer: layerLevel,
  unit: circuit,
  gate: gateLevel,
};
const ORDER = Object.keys(LEVELS) as View["zoom"][];
const SINGLE_STEP = 280; // milliseconds since the last step; after a longer pause, the user is watching, not scrubbing
const QUICK_STEP = 90;

const HELP =
  "One step of the model under a microscope. Model, layer, unit and gate are four zoom levels: click a part to go " +
  "into it, Esc to go back. In the cell, the flow in a pipe is as wide as its value: the whole pipe is 1 for " +
  "a gate, and otherwise the largest memory (c of an LSTM, h of a GRU or RNN) of this unit in the run, rounded up and at least 1; orange is positive, blue " +
  "negative. An outlined bar is the whole value, its filled part what a gate lets through: kept and written add up to " +
  "the new memory, unless an edit replaced it. Click a number to change it.";

export function mountMicroscope({ store, session, player }: App): HTMLElement {
  const stage = element("div", { class: "hs-stage", tabindex: -1 });
  const about = element("p", { class: "hs-about soft" });
  const { root, body, tools } = panel({
    id: "microscope",
    title: "Cell microscope",
    help: HELP,
    exports: {
      svg: () => shown()?.picture() ?? null,
      png: () => shown()?.picture() ?? null,
      csv: () => shown()?.table() ?? [],
    },
  });
  let now: { scene: Scene; level: Level; key: string } | null = null;
  const shown = () => (pair ? now?.level : undefined);
  /** a model and a run of it */
  let pair: { model: Model; run: Run } | null = null;

  const go = (patch: Partial<View>) => {
    store.set(patch);
    store.flush();
    stage.focus({ preventScroll: true });
  };
  const way = crumbs(go);
  const update = (pace: Pace) => {
    const view = store.get();
    if (!now || !pair || stage.clientWidth === 0 || view.step >= pair.run.steps) return;
    now.level.update(view, pace);
    way.update(now.scene.track, view);
    about.textContent = aboutOf(now.scene, view);
  };
  const draw = () => {
    const view = store.get(),
      width = Math.floor(stage.clientWidth);
    const track = pair?.model.tracks.find(({ name }) => name === view.track);
    if (!pair || !track || width === 0) return;
    const key = [width, track.name, view.zoom === "gate" ? view.gate : "", view.zoom].join();
    if (now && now.scene.model === pair.model && now.key === key) return update("move");
    const run = () => (pair as { run: Run }).run;
    const scene = sceneOf({
      model: pair.model,
      track,
      width,
      run,
      view: () => store.get(),
      live: () => session.live,
      go,
      pause: () => (player.playing ? player.pace : Infinity),
    });
    const before = now;
    now = { scene, level: LEVELS[view.zoom](scene), key };
    stage.replaceChildren(now.level.root);
    before?.level.leave();
    if (before) zoomed(now.level.root, depth(key) - depth(before.key));
    update("jump");
  };
  const updateRun = () => {
    const { model, run } = session;
    pair = model && run ? { model, run } : null;
    for (const part of [about, stage, way.root]) part.hidden = pair === null;
    draw();
  };

  body.classList.add("hs-microscope");
  tools.append(way.root);
  body.append(unread(session), about, stage);
  session.on("run", updateRun);
  store.subscribe(["zoom", "track", "gate", "unit", "pinned", "head"], draw);
  store.subscribe(["step"], stepper(update));
  let wide = 0;
  new ResizeObserver(() => {
    if (stage.clientWidth === wide) return; // if only the height changes, animations continue
    wide = stage.clientWidth;
    draw();
  }).observe(stage);
  root.addEventListener("keydown", (event) => outwards(event, store.get().zoom, go));
  updateRun();
  return root;
}

const depth = (key: string) => ORDER.indexOf(key.split(",")[3] as View["zoom"]);

/** Animates steps that the user watches; while scrubbing, steps appear at once. */
function stepper(update: (pace: Pace) => void): () => void {
  let last = 0;
  return () => {
    const since = performance.now() - last;
    last += since;
    update(since > SINGLE_STEP ? "play" : since > QUICK_STEP ? "move" : "jump");
  };
}

/** Esc and Backspace zoom out one level. */
function outwards(event: KeyboardEvent, zoom: View["zoom"], go: (patch: Partial<View>) => void) {
  const at = ORDER.indexOf(zoom);
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (typing || at === 0 || (event.key !== "Escape" && event.key !== "Backspace")) return;
  event.preventDefault();
  event.stopPropagation();
  go({ zoom: ORDER[at - 1] });
}

function sceneOf(parts: Omit<Scene, "editor">): Scene {
  const editor = (quantity: string) => (from: Element) => {
    const { unit, step } = parts.view();
    const value = trackOf(parts.run(), parts.track.name).values[quantity][step * parts.track.units + unit];
    const detail = { place: `${parts.track.name}.${quantity}`, unit, t: step, value };
    from.dispatchEvent(new CustomEvent("hs-edit", { bubbles: true, detail }));
  };
  return { ...parts, editor: parts.model.hasWeights ? editor : () => null };
}

/** Describes the current position and the reading direction. */
function aboutOf({ model, track, run, live }: Scene, { step, zoom }: View): string {
  const now = run();
  const here = stepName(now, step);
  if (zoom === "model") return `${here}: the data flow up through the model`;
  const recorded = trackOf(now, track.name);
  const { before } = neighbours(recorded, step, now.steps);
  const beginning = before === null ? beginningOf(model, recorded, live()).says : "";
  return `${here}. ${track.name} ${wayOf(model.cell, track.reverse, model.unit, beginning)}.`;
}

/** Animates zooming in or out. */
function zoomed(root: Element, deeper: number) {
  if (deeper === 0 || isCalm()) return;
  root.animate(
    [
      { opacity: 0, transform: `scale(${deeper > 0 ? 0.94 : 1.06})` },
      { opacity: 1, transform: "none" },
    ],
    { duration: 180, easing: "ease-out" },
  );
}
