// All units of one layer and direction at one step: a tile for each, with the kept and written parts of its memory.

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Scene } from "studio/panels/microscope/types.js";
import type { CellKind } from "studio/runtime/kinds.js";
import { stateBefore } from "studio/runtime/states.js";
import { memoryBefore, mostReach, projected } from "studio/state/moment.js";
import type { Track, View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { Button } from "studio/ui/form.js";

const MOST_CHANGED = 5; // number of units listed as changing most

export function LayerLevel({ scene }: { scene: Scene }) {
  const { view } = useApp();
  const { info, track, run, width, go } = scene;
  const { cell } = scene.model;
  const step = Math.min(view.step, run.steps - 1);
  const largest = useMemo(() => mostReach(track), [track]);
  const units = useMemo(() => unitsAt(cell, track, step), [track, step]);
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
      <Tiles {...{ units, largest, width, label, focus, selected: view.unit, pinned: view.pinned, point, open }} />
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
      {changes.slice(0, MOST_CHANGED).map(({ unit, by }) => (
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

/** each [H], at one step */
interface Units {
  before: Float32Array; // the previous memory
  kept: Float32Array;
  wrote: Float32Array;
  memory: Float32Array;
  h: Float32Array;
}

type Tiling = { columns: number; width: number; height: number };

const AREA = 330; // preferred maximum height of all tiles in pixels
const MOST = { width: 120, height: 80 };
const LEAST = 13;
const NAMED = 30; // minimum width for a tile to show its number
const NUMBER = 11; // height of its number

function Tiles(props: {
  units: Units;
  largest: number;
  width: number;
  label: string;
  focus: number;
  selected: number;
  pinned: readonly number[];
  point: (unit: number) => void;
  open: (unit: number) => void;
}) {
  const { units, largest, width, label, focus, selected, pinned, point, open } = props;
  const count = units.memory.length;
  const tiling = tilingFor(count, width);
  const height = Math.ceil(count / tiling.columns) * tiling.height;
  /** The unit under the pointer; -1 if there is none. */
  const under = (event: MouseEvent & { currentTarget: Element }) => {
    const box = event.currentTarget.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / tiling.width);
    const unit = Math.floor((event.clientY - box.top) / tiling.height) * tiling.columns + column;
    return column >= 0 && column < tiling.columns && unit >= 0 && unit < count ? unit : -1;
  };
  const corner = (unit: number) => `${left(unit, tiling)} ${top(unit, tiling)}`;
  const size = { width: tiling.width, height: tiling.height, rx: 3 };
  const pins = pinned.map((unit) => `M${left(unit, tiling) + tiling.width - 7} ${top(unit, tiling) + 2}h5v5z`);
  const ways = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -tiling.columns, ArrowDown: tiling.columns };
  const onKeyDown = (event: KeyboardEvent) => {
    const way = ways[event.key as keyof typeof ways];
    if (way === undefined && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation(); // here the arrow keys move in the grid
    if (way === undefined) open(focus);
    else point(focus + way);
  };
  return (
    <svg
      {...{ class: "hs-tiles", width, height: height + 2, tabindex: 0, role: "group", "aria-label": label, onKeyDown }}
      onPointerMove={(event) => point(under(event))}
      onPointerLeave={() => point(selected)}
      onClick={(event) => under(event) >= 0 && open(under(event))}
    >
      <path class="hs-tile-frame" d={frames(count, tiling)} />
      {isNamed(tiling) &&
        Array.from({ length: count }, (_, k) => (
          <text x={left(k, tiling) + 4} y={top(k, tiling) + 10.5} class="hs-tile-number">
            {k}
          </text>
        ))}
      {Object.entries(fillPaths(units, tiling, largest)).map(([name, parts]) => (
        <path class={`hs-tile-${name}`} d={parts.join("")} />
      ))}
      <path class="hs-tile-pins" d={pins.join("")} />
      <rect class="hs-tile-pointed" {...size} transform={`translate(${corner(focus)})`} />
      <rect class="hs-tile-chosen" {...size} transform={`translate(${corner(selected)})`} />
    </svg>
  );
}

const isNamed = ({ width, height }: Tiling) => width >= NAMED && height >= 30;

/** The zero line of a tile's bars, and their maximum length. */
function barRange(tiling: Tiling) {
  const head = isNamed(tiling) ? NUMBER : 0;
  return { zero: head + (tiling.height - head) / 2, reach: (tiling.height - head) / 2 - 3 };
}

function tilingFor(units: number, width: number): Tiling {
  const side = Math.sqrt((width * AREA) / units);
  const wanted = Math.max(1, Math.round(width / Math.max(side, LEAST)));
  const columns = units <= 4 ? units : Math.min(units, Math.max(4, Math.round(wanted / 4) * 4));
  const rows = Math.ceil(units / columns);
  const height = Math.max(LEAST, Math.min(MOST.height, AREA / rows));
  return { columns, width: Math.min(MOST.width, width / columns), height };
}

const left = (unit: number, { columns, width }: Tiling) => (unit % columns) * width;

const top = (unit: number, { columns, height }: Tiling) => Math.floor(unit / columns) * height;

function frames(units: number, tiling: Tiling): string {
  const { width, height } = tiling,
    { zero } = barRange(tiling);
  return Array.from({ length: units }, (_, k) => {
    const [x, y] = [left(k, tiling), top(k, tiling)];
    return `M${x + 1.5} ${y + 1.5}h${width - 3}v${height - 3}h${3 - width}zM${x + 3} ${y + zero}h${width - 6}`;
  }).join("");
}

function fillPaths({ before, kept, wrote, memory }: Units, tiling: Tiling, largest: number) {
  const { zero: middle, reach } = barRange(tiling),
    bar = (tiling.width - 8) / 2;
  type Parts = Record<"before" | "plus" | "minus" | "end" | "beyond", string[]>;
  const parts: Parts = { before: [], plus: [], minus: [], end: [], beyond: [] };
  const up = (value: number) => Math.max(-1, Math.min(1, value / largest || 0)) * reach;
  for (let k = 0; k < before.length; k++) {
    const x = left(k, tiling) + 4,
      zero = top(k, tiling) + middle;
    const keeps = up(kept[k]),
      ends = up(kept[k] + wrote[k]);
    parts.before.push(block(x, zero, 0, up(before[k]), bar - 0.5));
    parts[kept[k] < 0 ? "minus" : "plus"].push(block(x, zero, 0, keeps, bar - 0.5));
    parts[wrote[k] < 0 ? "minus" : "plus"].push(block(x + bar + 0.5, zero, keeps, ends, bar - 0.5));
    parts.end.push(`M${round(x + bar)} ${round(zero - up(memory[k]))}h${round(bar)}`);
    const way = Math.sign(memory[k]); // of an arrow that marks a bar as cut off
    const tip = `M${round(x + bar)} ${round(zero - way * (reach + 2))}`;
    if (Math.abs(memory[k]) > largest) parts.beyond.push(`${tip}l3.5 ${4 * way}h-7z`);
  }
  return parts;
}

const round = (value: number) => Math.round(value * 10) / 10;

/** A rectangle between two heights, measured from the zero line. */
const block = (x: number, zero: number, from: number, to: number, width: number): string =>
  `M${round(x)} ${round(zero - from)}h${round(width)}V${round(zero - to)}h${round(-width)}z`;
