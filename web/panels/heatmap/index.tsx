// Units by steps, coloured by one gate or state: a layer's whole memory at a glance.

import { useComputed, useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { drawCells, HeatPicture, heatRows, TokenNames, UnitNames } from "studio/panels/heatmap/picture.js";
import { Cursors, type HeatParts, Readout } from "studio/panels/heatmap/cursors.js";
import { type Cell, cellAt, headHeight, heatLayout, longestToken, type Scene } from "studio/panels/heatmap/layout.js";
import { ordered } from "studio/panels/heatmap/order.js";
import { findHead, meanChanges, quantityWidth, stepName, togglePin, trackOf } from "studio/state/run.js";
import { range } from "studio/state/ranges.js";
import type { Run, View } from "studio/types.js";
import { choice, openEditor, useApp } from "studio/ui/app.js";
import { IconButton, type Option, Segments, Select } from "studio/ui/form.js";
import { Legend } from "studio/ui/legend.js";
import { Panel, Unread } from "studio/ui/panel.js";
import { Canvas, useBox } from "studio/ui/stage.js";

const HELP =
  "Each row is a hidden unit, each column a time step; the colour shows the value, on a scale that does not " +
  "depend on the sentence (except that c's grows if necessary; if a projection takes h beyond ±1, it gets the " +
  "colour at the end of the scale). Click a cell to see it in the microscope, " +
  "double-click or press P to pin its unit, press Enter to edit it.";

export function HeatmapPanel() {
  const { store, session, view } = useApp();
  const place = useRef<HTMLDivElement>(null);
  const map = useRef<HTMLDivElement>(null);
  const box = useBox(place);
  const pointed = useSignal<Cell | null>(null);
  const scene = useComputed((): Scene | null => {
    const { run } = session;
    if (run === null || box.value.width === 0) return null;
    const track = trackOf(run, view.track);
    const { order, about } = ordered(run, track, view);
    const { steps, tokens } = run;
    const layout = heatLayout({ ...box.value, steps, pinned: view.pinned, order, longest: longestToken(tokens) });
    return { run, track, quantity: view.quantity, layout, about };
  });
  const edit = () => {
    const { run, model } = session;
    const { step, unit, track, quantity } = store.get();
    const column = map.current?.querySelector(".heat-column");
    if (run && model?.hasWeights && column) openEditor(column, trackOf(run, track), quantity, unit, step);
  };
  const parts = { place, map, scene, pointed, edit, box };
  return (
    <Panel
      {...{ id: "heatmap", title: "Heat map", help: HELP, body: "heat-body", tools: <HeatTools /> }}
      picture={() => scene.value && session.model && <HeatPicture {...scene.value} model={session.model} />}
      exports={{ csv: () => (session.run ? heatRows(session.run, store.get()) : []) }}
    >
      <Unread />
      <div ref={place} class="heat-place">
        <HeatMap {...parts} />
      </div>
      <p class="unseen" id="heatmap-words">
        {session.run && summary(session.run, view.track, view.quantity)}
      </p>
      <div class="heat-foot">
        <Readout {...parts} />
        <div class="heat-legend">{scene.value && <Legend quantity={view.quantity} run={session.run} />}</div>
      </div>
    </Panel>
  );
}

function HeatMap({ place, map, scene, pointed, edit, box }: HeatParts) {
  const { store, player } = useApp();
  const shown = scene.value;
  const layout = shown?.layout;
  const under = (event: MouseEvent) => {
    const corner = map.current?.getBoundingClientRect();
    if (!layout || !corner || (event.target as Element).matches(".heat-head")) return null; // tokens may cover cells
    return cellAt(layout, event.clientX - corner.left, event.clientY - corner.top);
  };
  const point = (cell: Cell | null) => {
    const { step, unit } = pointed.peek() ?? {};
    if (cell?.step !== step || cell?.unit !== unit) pointed.value = cell;
  };
  const row = (by: number) => {
    const order = layout?.order ?? [];
    const at = Math.max(0, order.indexOf(store.get().unit));
    const unit = order[Math.min(Math.max(at + by, 0), order.length - 1)];
    if (unit !== undefined) store.set({ unit });
  };
  const keys: Record<string, () => void> = {
    ArrowUp: () => row(-1),
    ArrowDown: () => row(1),
    PageUp: () => row(-10),
    PageDown: () => row(10),
    Enter: edit,
  };
  const ends = shown && range(shown.quantity);
  return (
    <div
      ref={map}
      {...{ class: "heat-map", tabindex: 0, role: "group", "aria-roledescription": "heat map", hidden: !shown }}
      aria-label="Units by steps. Arrow keys move, P pins, Enter edits."
      aria-describedby="heatmap-words"
      style={layout && { width: `${layout.width}px`, height: `${layout.height}px` }}
      onPointerMove={(event) => {
        const cell = under(event);
        point(cell);
        if (cell && event.buttons === 1 && event.pointerType === "mouse") store.set(cell);
      }}
      onPointerLeave={() => point(null)}
      onClick={(event) => {
        const cell = under(event);
        if (cell === null) return;
        player.pause();
        store.set(cell);
      }}
      onDblClick={(event) => {
        const cell = under(event);
        if (cell) togglePin(store, cell.unit);
      }}
      onKeyDown={(event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
        keys[event.key]();
        event.preventDefault();
      }}
    >
      {shown && layout && ends && (
        <>
          <svg
            {...{ class: "heat-head", width: layout.width, height: headHeight(layout), "aria-hidden": true }}
            style={{ marginBottom: `-${headHeight(layout)}px` }}
          >
            <TokenNames layout={layout} tokens={shown.run.tokens} />
          </svg>
          <Canvas
            {...{ class: "heat-canvas", width: layout.width, height: layout.height }}
            draw={(context) => drawCells(context, shown, ends)}
          />
          <svg class="heat-names" width={layout.left} height={layout.height} aria-hidden="true">
            <UnitNames layout={layout} />
          </svg>
          <Cursors {...{ layout, pointed, place, box }} />
        </>
      )}
    </div>
  );
}

const MOST_TAGS = 200; // a vocabulary would be too long for a list

function HeatTools() {
  const { store, session, view } = useApp();
  const { model, run } = session;
  const options = model?.quantities.map((value) => {
    return { value, text: value, title: `${value}: ${model.meanings[value]}` };
  });
  return (
    <>
      {options && <Segments {...{ label: "Value to show", options, ...choice(store, "quantity") }} />}
      <Select {...{ label: "Sort by", options: sortOptions(run, view), ...choice(store, "sort") }} />
      <Pin />
    </>
  );
}

function Pin() {
  const { store, view } = useApp();
  const isPinned = view.pinned.includes(view.unit);
  return (
    <IconButton
      {...{ icon: "pin", label: `Pin unit ${view.unit} (P)`, "aria-pressed": isPinned }}
      title={`${isPinned ? "Unpin" : "Pin"} unit ${view.unit} (P)`}
      onClick={() => togglePin(store, store.get().unit)}
    />
  );
}

function sortOptions(run: Run | null, { head: name, sort }: View): Option[] {
  const head = run && findHead(run, name);
  const tags =
    head && head.labels.length < MOST_TAGS ? [...new Set(Array.from(head.chosen, (k) => head.labels[k]))].sort() : [];
  if (sort.startsWith("tag:") && !tags.includes(sort.slice(4))) tags.push(sort.slice(4));
  return [
    { value: "index", text: "index" },
    { value: "change", text: "change" },
    { value: "cluster", text: "likeness" },
    ...tags.map((tag) => ({ value: `tag:${tag}`, text: tag, group: "correlation with" })),
  ];
}

function summary(run: Run, name: string, quantity: string): string {
  const track = trackOf(run, name);
  const values = track.values[quantity];
  const width = quantityWidth(track.info, quantity);
  const [low, high] = [extreme(values, -1), extreme(values, 1)];
  const moved = meanChanges(track, quantity);
  const restless = Array.from(moved.keys()).sort((a, b) => moved[b] - moved[a]);
  const at = (k: number) => {
    const t = Math.floor(k / width);
    return `${values[k].toFixed(2)} (unit ${k % width}, ${stepName(run, t)})`;
  };
  return (
    `${quantity} of ${name}: ${width} units by ${run.steps} steps. Lowest ${at(low)}, highest ${at(high)}. ` +
    `The units that change most: ${restless.slice(0, 3).join(", ")}.`
  );
}

function extreme(values: Float32Array, sign: 1 | -1) {
  let best = 0;
  for (let k = 1; k < values.length; k += 1) if (sign * values[k] > sign * values[best]) best = k;
  return best;
}
