// The cell microscope: one step of the model, from the whole model down to the products behind one unit's gate.

import { useComputed } from "@preact/signals";
import type { ComponentType } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { UnitLevel, unitRows } from "studio/panels/microscope/circuit.js";
import { GateLevel, gateRows } from "studio/panels/microscope/gate.js";
import { LayerLevel, layerRows } from "studio/panels/microscope/layer.js";
import { ModelLevel, modelRows } from "studio/panels/microscope/model.js";
import type { Scene } from "studio/panels/microscope/types.js";
import { neighbours } from "studio/state/moment.js";
import type { Session } from "studio/state/session.js";
import type { Store } from "studio/state/store.js";
import { stepName, trackOf } from "studio/state/run.js";
import type { TrackInfo, View } from "studio/types.js";
import { openEditor, useApp } from "studio/ui/app.js";
import { Button } from "studio/ui/form.js";
import { initialState, readingWay } from "studio/ui/moment-words.js";
import { Panel, Unread } from "studio/ui/panel.js";
import { useWidth } from "studio/ui/stage.js";

/** The zoom levels, from the outside in, each with the rows of its table. */
const LEVELS: Record<
  View["zoom"],
  { Level: ComponentType<{ scene: Scene }>; rows: (scene: Scene, view: View) => string[][] }
> = {
  model: { Level: ModelLevel, rows: modelRows },
  layer: { Level: LayerLevel, rows: layerRows },
  unit: { Level: UnitLevel, rows: unitRows },
  gate: { Level: GateLevel, rows: gateRows },
};
const ORDER = Object.keys(LEVELS) as View["zoom"][];

const HELP =
  "One step of the model under a microscope. Model, layer, unit and gate are four zoom levels: click a part to go " +
  "into it, Esc to go back. In the cell, the flow in a pipe is as wide as its value: the whole pipe is 1 for " +
  "a gate, and otherwise the largest memory (c of an LSTM, h of a GRU or RNN) of this unit in the run, rounded up and at least 1; orange is positive, blue " +
  "negative. An outlined bar is the whole value, its filled part what a gate lets through: kept and written add up to " +
  "the new memory, unless an edit replaced it. Click a number to change it.";

export function MicroscopePanel() {
  const { store, session, view } = useApp();
  const stage = useRef<HTMLDivElement>(null);
  const width = useWidth(stage);
  const go = useMemo(() => goer(store, stage), []);
  const scene = useComputed(() => createScene(session, view, width.value, go));
  const shown = scene.value;
  const { zoom } = view;
  const key = [view.track, zoom, zoom === "gate" ? view.gate : ""].join();

  /** Esc and Backspace zoom out one level. */
  const outwards = (event: KeyboardEvent) => {
    const at = ORDER.indexOf(store.get().zoom);
    const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (isTyping || at === 0 || (event.key !== "Escape" && event.key !== "Backspace")) return;
    event.preventDefault();
    event.stopPropagation();
    go({ zoom: ORDER[at - 1] });
  };
  const picture = () => stage.current?.querySelector("svg") ?? null;
  const { Level, rows } = LEVELS[zoom];
  return (
    <Panel
      {...{ id: "microscope", title: "Cell microscope", help: HELP, body: "hs-microscope", onKeyDown: outwards }}
      exports={{ svg: picture, png: picture, csv: () => (shown ? rows(shown, store.get()) : []) }}
      tools={shown && <Crumbs info={shown.info} go={go} />}
    >
      <Unread />
      <p class="hs-about soft" hidden={shown === null}>
        {shown && <About scene={shown} />}
      </p>
      <div ref={stage} class="hs-stage" tabindex={-1} hidden={session.run === null}>
        {shown && shown.width > 0 && <Level key={key} scene={shown} />}
      </div>
    </Panel>
  );
}

/** Changes the view, and leaves the focus in the microscope. */
const goer = (store: Store, stage: { current: HTMLElement | null }) => (patch: Partial<View>) => {
  store.set(patch);
  stage.current?.focus({ preventScroll: true });
};

// Not in the component: a scene with functions made there would keep the component's last scene, and so all before it.
function createScene({ model, run }: Session, view: View, width: number, go: Scene["go"]): Scene | null {
  const info = model?.tracks.find(({ name }) => name === view.track);
  if (!model || !run || !info) return null;
  const track = trackOf(run, info.name);
  const edit = (quantity: string, from: Element) => {
    openEditor(from, track, quantity, view.unit, view.step);
  };
  return { model, run, info, track, width, go, edit: model.hasWeights ? edit : null };
}

function About({ scene: { model, run, track, info } }: { scene: Scene }) {
  const { view, session } = useApp();
  const step = Math.min(view.step, run.steps - 1);
  const here = stepName(run, step);
  if (view.zoom === "model") return <>{here}: the data flow up through the model</>;
  const { before } = neighbours(track, step, run.steps);
  const beginning = before === null ? initialState(model, track, session.live).phrase : "";
  return <>{`${here}. ${info.name} ${readingWay(model.cell, info.reverse, model.unit, beginning)}.`}</>;
}

/** Breadcrumbs: model, layer and direction, unit, gate. Each is a button that goes there. */
function Crumbs({ info, go }: { info: TrackInfo; go: (patch: Partial<View>) => void }) {
  const { view } = useApp();
  const words = { model: "model", layer: info.name, unit: `unit ${view.unit}`, gate: `gate ${view.gate}` };
  return (
    <nav class="hs-crumbs" aria-label="Zoom">
      {ORDER.map((zoom, k) => (
        <>
          {k > 0 && (
            <span class="soft" aria-hidden="true">
              ›
            </span>
          )}
          <Button
            text={words[zoom]}
            {...{ kind: "quiet hs-crumb", "data-zoom": zoom }}
            aria-current={zoom === view.zoom ? "location" : undefined}
            press={() => go({ zoom })}
          />
        </>
      ))}
      <label class="field hs-choose">
        unit
        <input
          {...{ type: "number", class: "number hs-unit", min: 0, max: info.units - 1, step: 1, "aria-label": "Unit" }}
          value={view.unit}
          onChange={({ currentTarget }) => {
            if (currentTarget.checkValidity() && currentTarget.value !== "") go({ unit: currentTarget.valueAsNumber });
          }}
        />
      </label>
    </nav>
  );
}
