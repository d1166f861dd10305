// A tile for each unit of a layer, with the kept part of the memory on the left (inside the outline of the previous
// memory), the written part on the right, and a line at their sum, the new memory. All tiles share a few paths, so a
// step is drawn quickly.

import { useSignal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { animate, eased, type Pace, SWIFT } from "studio/panels/microscope/tween.js";

/** each [H], at one step */
export interface Units {
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

/** @param props.change the units before and now; they are animated, unless at once */
export function Tiles(props: {
  change: { from: Units | null; to: Units };
  pace: Pace;
  largest: number;
  width: number;
  label: string;
  focus: number;
  selected: number;
  pinned: readonly number[];
  point: (unit: number) => void;
  open: (unit: number) => void;
}) {
  const { width, label, focus, selected, pinned, point, open } = props;
  const units = props.change.to.memory.length;
  const tiling = tilingFor(units, width);
  const height = Math.ceil(units / tiling.columns) * tiling.height;
  /** The unit under the pointer; -1 if there is none. */
  const under = (event: MouseEvent & { currentTarget: Element }) => {
    const box = event.currentTarget.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / tiling.width);
    const unit = Math.floor((event.clientY - box.top) / tiling.height) * tiling.columns + column;
    return column >= 0 && column < tiling.columns && unit >= 0 && unit < units ? unit : -1;
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
      <path class="hs-tile-frame" d={frames(units, tiling)} />
      {isNamed(tiling) &&
        Array.from({ length: units }, (_, k) => (
          <text x={left(k, tiling) + 4} y={top(k, tiling) + 10.5} class="hs-tile-number">
            {k}
          </text>
        ))}
      <Fills {...props} tiling={tiling} />
      <path class="hs-tile-pins" d={pins.join("")} />
      <rect class="hs-tile-pointed" {...size} transform={`translate(${corner(focus)})`} />
      <rect class="hs-tile-chosen" {...size} transform={`translate(${corner(selected)})`} />
    </svg>
  );
}

/** The parts of all tiles that change with the step. */
function Fills({ change: { from, to }, pace, largest, tiling }: Parameters<typeof Tiles>[0] & { tiling: Tiling }) {
  const part = useSignal(1);
  useLayoutEffect(() => animate(from === null || pace === "jump" ? 0 : SWIFT, (now) => (part.value = now)), [to]);
  const paths = fillPaths(from === null || part.value === 1 ? to : mixed(from, to, eased(part.value)), tiling, largest);
  return (
    <>
      {Object.entries(paths).map(([name, parts]) => (
        <path class={`hs-tile-${name}`} d={parts.join("")} />
      ))}
    </>
  );
}

function mixed(from: Units, to: Units, part: number): Units {
  const mix = (name: keyof Units) => to[name].map((end, k) => from[name][k] + (end - from[name][k]) * part);
  return { before: mix("before"), kept: mix("kept"), wrote: mix("wrote"), memory: mix("memory"), h: to.h };
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
