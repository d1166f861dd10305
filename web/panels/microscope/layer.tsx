// All units of one layer and direction at one step: a tile for each, with the kept and written parts of its memory.

import { useSignal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import { Tiles, type Units } from "studio/panels/microscope/tiles.js";
import { type Scene, usePaced } from "studio/panels/microscope/tween.js";
import type { CellKind } from "studio/runtime/kinds.js";
import { stateBefore } from "studio/runtime/states.js";
import { memoryBefore, mostReach, projected } from "studio/state/moment.js";
import type { Track, View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { Button } from "studio/ui/form.js";

const MOST = 5; // number of units listed as changing most

export function LayerLevel({ scene }: { scene: Scene }) {
  const { view } = useApp();
  const { info, track, run, width, go } = scene;
  const { cell } = scene.model;
  const step = Math.min(view.step, run.steps - 1);
  const largest = useMemo(() => mostReach(track), [track]);
  const last = useRef<Units | null>(null);
  const { value: change, pace } = usePaced(() => {
    const [from, to] = [last.current, unitsAt(cell, track, step)];
    last.current = to;
    return { from, to };
  }, [track]);
  const { to: units } = change;
  // The unit under the pointer or reached by the arrow keys, until the cursor moves.
  const pointed = useSignal<{ unit: number; units: Units; selected: number } | null>(null);
  const { value: at } = pointed;
  const focus = at?.units === units && at.selected === view.unit ? at.unit : view.unit;
  const point = (unit: number) => {
    if (unit >= 0 && unit < info.units) pointed.value = { unit, units, selected: view.unit };
  };
  const open = (unit: number) => go({ zoom: "unit", unit });
  const numbers = columns(cell, units).map(([name, values]) => `${name} ${format(values[focus])}`);
  const line = `unit ${focus}: ${numbers.join(" · ")}`;
  const label = `${info.units} units of ${info.name}. ${line}. Arrow keys choose a unit, Enter opens it`;
  return (
    <div class="hs-layer">
      <Tiles
        {...{ change, pace, largest, width, label, focus, selected: view.unit, pinned: view.pinned, point, open }}
      />
      <p class="hs-readout number">{line}</p>
      <div class="hs-row-of">
        <Key cell={cell} largest={largest} />
        <p class="hs-changed">
          <ChangedMost {...{ cell, units, open }} />
        </p>
      </div>
    </div>
  );
}

function unitsAt(cell: CellKind, track: Track, t: number): Units {
  const { units } = track.info;
  const at = (quantity: string) => track.values[quantity].subarray(t * units, (t + 1) * units);
  const before = stateBefore(track, cell.memory, t),
    memory = at(cell.memory);
  const splits = Array.from(memory, (_, k) => cell.split(track.values, t * units + k));
  return {
    before,
    memory,
    kept: before.map((value, k) => value * splits[k].keep),
    wrote: cell.isAdditive ? Float32Array.from(splits, ({ written }) => written) : memory,
    h: projected(track) ? memory.map((c, k) => track.values.o[t * units + k] * Math.tanh(c)) : at("h"),
  };
}

/** The columns of the table, which are also the parts of the line about one unit. */
function columns(cell: CellKind, { before, kept, wrote, memory, h }: Units): [string, Float32Array][] {
  return [
    [memoryBefore(cell), before],
    ...(cell.isAdditive ? ([["kept", kept], ["written", wrote]] as [string, Float32Array][]) : []), // prettier-ignore
    [cell.memory, memory],
    ...(cell.memory === "h" ? [] : ([["h", h]] as [string, Float32Array][])),
  ];
}

function ChangedMost(props: { cell: CellKind; units: Units; open: (unit: number) => void }) {
  const { before, memory } = props.units;
  const { memory: state } = props.cell;
  const changes = Array.from(memory, (value, unit) => ({ unit, by: value - before[unit] })).filter(
    ({ by }) => by !== 0,
  );
  changes.sort((a, b) => Math.abs(b.by) - Math.abs(a.by));
  return (
    <>
      <span class="soft">changed most in {state}</span>
      {changes.slice(0, MOST).map(({ unit, by }) => (
        <Button
          text={`${unit} ${by < 0 ? "↓" : "↑"}`}
          {...{ kind: "quiet number" }}
          title={`unit ${unit}: ${state} ${by < 0 ? "down" : "up"} by ${format(Math.abs(by))}`}
          press={() => props.open(unit)}
        />
      ))}
    </>
  );
}

function Key({ cell, largest }: { cell: CellKind; largest: number }) {
  const parts = {
    before: memoryBefore(cell),
    ...(cell.isAdditive && { left: "kept", right: "written" }),
    end: cell.memory,
    beyond: "goes beyond",
  };
  return (
    <p class="hs-key soft">
      {Object.entries(parts).map(([kind, words]) => (
        <>
          <span class={`hs-key-${kind}`} aria-hidden="true" />
          <span>{words}</span>
        </>
      ))}
      <span>{`tiles range from -${largest} to ${largest}`}</span>
    </p>
  );
}

export function layerRows({ model: { cell }, track }: Scene, { step }: View): string[][] {
  const units = unitsAt(cell, track, step);
  const all = columns(cell, units);
  const rows = Array.from(units.memory, (_, k) => [k, ...all.map(([, values]) => values[k])].map(String));
  return [["unit", ...all.map(([name]) => name)], ...rows];
}
