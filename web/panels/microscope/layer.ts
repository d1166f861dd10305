// All units of one layer and direction at one step: a tile for each, with the kept and written parts of its memory.

import { type Units, tilesFor, unitAt } from "studio/panels/microscope/tiles.js";
import { createTween } from "studio/panels/microscope/tween.js";
import type { Level, Scene } from "studio/panels/microscope/types.js";
import type { CellKind } from "studio/runtime/kinds.js";
import { stateBefore } from "studio/runtime/states.js";
import { memoryBefore, mostReach, projected } from "studio/state/moment.js";
import { trackOf } from "studio/state/units.js";
import type { Track } from "studio/types.js";
import { element, format } from "studio/ui/draw.js";

const SWIFT = 240;
const MOST = 5; // number of units listed as changing most

const reaches: WeakMap<Track, number> = new WeakMap();

export function layerLevel(scene: Scene): Level {
  const { track, width } = scene;
  const { cell } = scene.model;
  const tiles = tilesFor(track.units, width);
  const said = element("p", { class: "hs-readout number" });
  const changed = element("p", { class: "hs-changed" });
  const scale = element("span");
  const foot = element("div", { class: "hs-row-of" }, [key(cell, scale), changed]);
  const root = element("div", { class: "hs-layer" }, [tiles.root, said, foot]);
  const open = (unit: number) => scene.go({ zoom: "unit", unit });
  let from: Units | null = null;
  let now: Units = unitsAt(cell, trackOf(scene.run(), track.name), scene.view().step);
  const look = (unit: number) => {
    tiles.point(unit);
    said.textContent = reading(cell, now, unit);
    tiles.root.setAttribute(
      "aria-label",
      `${track.units} units of ${track.name}. ${said.textContent}. Arrow keys choose a unit, Enter opens it`,
    );
  };
  listen(scene, tiles, look, open);
  const tween = createTween(({ part, largest }) => tiles.draw(from ? mixed(from, now, part) : now, largest));
  const update: Level["update"] = (view, pace) => {
    const values = trackOf(scene.run(), track.name);
    const largest = reaches.get(values) ?? mostReach(values);
    reaches.set(values, largest);
    from = now;
    now = unitsAt(cell, values, view.step);
    scale.textContent = `tiles range from -${largest} to ${largest}`;
    tiles.select(view.unit, view.pinned);
    look(view.unit);
    changed.replaceChildren(...changedMost(cell, now, open));
    tween.go({ part: 0, largest }, 0);
    tween.go({ part: 1, largest }, pace === "jump" ? 0 : SWIFT);
  };
  return { root, update, leave: tween.stop, picture: () => tiles.root, table: () => tableOf(cell, now) };
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

function mixed(from: Units, to: Units, part: number): Units {
  if (part >= 1) return to;
  const mix = (name: keyof Units) => to[name].map((end, k) => from[name][k] + (end - from[name][k]) * part);
  return { before: mix("before"), kept: mix("kept"), wrote: mix("wrote"), memory: mix("memory"), h: to.h };
}

/** The columns of the table, which are also the parts of the line about one unit. */
function columnsOf(cell: CellKind, { before, kept, wrote, memory, h }: Units): [string, Float32Array][] {
  const parts: [string, Float32Array][] = cell.isAdditive
    ? [
        ["kept", kept],
        ["written", wrote],
      ]
    : [];
  const output: [string, Float32Array][] = cell.memory === "h" ? [] : [["h", h]];
  return [[memoryBefore(cell), before], ...parts, [cell.memory, memory], ...output];
}

function reading(cell: CellKind, units: Units, k: number): string {
  return `unit ${k}: ${columnsOf(cell, units)
    .map(([name, values]) => `${name} ${format(values[k])}`)
    .join(" · ")}`;
}

function listen(
  scene: Scene,
  { root, tiling }: ReturnType<typeof tilesFor>,
  look: (unit: number) => void,
  open: (unit: number) => void,
) {
  const { units } = scene.track;
  let focus = scene.view().unit;
  const under = (event: MouseEvent) => {
    const box = root.getBoundingClientRect();
    return unitAt(event.clientX - box.left, event.clientY - box.top, units, tiling);
  };
  const see = (unit: number) => {
    if (unit >= 0 && unit < units) look((focus = unit));
  };
  const ways = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -tiling.columns, ArrowDown: tiling.columns };
  root.addEventListener("pointermove", (event) => see(under(event)));
  root.addEventListener("pointerleave", () => see(scene.view().unit));
  root.addEventListener("click", (event) => {
    if (under(event) >= 0) open(under(event));
  });
  root.addEventListener("keydown", (event) => {
    const way = ways[event.key as keyof typeof ways];
    if (way === undefined && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation(); // here the arrow keys move in the grid
    if (way === undefined) open(focus);
    else see(focus + way);
  });
}

/** The units whose memory changed most, each a button. */
function changedMost(cell: CellKind, { before, memory }: Units, open: (unit: number) => void): Node[] {
  const change = Array.from(memory, (value, k) => ({ unit: k, by: value - before[k] })).filter(({ by }) => by !== 0);
  change.sort((a, b) => Math.abs(b.by) - Math.abs(a.by));
  const buttons = change.slice(0, MOST).map(({ unit, by }) =>
    element("button", {
      type: "button",
      class: "quiet number",
      text: `${unit} ${by < 0 ? "↓" : "↑"}`,
      title: `unit ${unit}: ${cell.memory} ${by < 0 ? "down" : "up"} by ${format(Math.abs(by))}`,
      on: { click: () => open(unit) },
    }),
  );
  return [element("span", { class: "soft", text: `changed most in ${cell.memory}` }), ...buttons];
}

/** The legend of the tiles. */
function key(cell: CellKind, scale: HTMLElement) {
  const parts = [
    ["before", memoryBefore(cell)],
    ...(cell.isAdditive
      ? [
          ["left", "kept"],
          ["right", "written"],
        ]
      : []),
    ["end", cell.memory],
    ["beyond", "goes beyond"],
  ];
  return element("p", { class: "hs-key soft" }, [
    ...parts.flatMap(([kind, words]) => [
      element("span", { class: `hs-key-${kind}`, "aria-hidden": "true" }),
      element("span", { text: words }),
    ]),
    scale,
  ]);
}

function tableOf(cell: CellKind, units: Units): string[][] {
  const columns = columnsOf(cell, units);
  const rows = Array.from(units.memory, (_, k) => [k, ...columns.map(([, values]) => values[k])].map(String));
  return [["unit", ...columns.map(([name]) => name)], ...rows];
}
