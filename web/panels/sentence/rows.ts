// A few labels or units with their values, one per row, strongest first.

import { spokenValues } from "studio/panels/sentence/columns.js";
import type { Bar, Chart } from "studio/panels/sentence/types.js";
import { shownToken } from "studio/state/tokens.js";
import { label, set, svg } from "studio/ui/draw.js";
import { colour } from "studio/ui/scales.js";

const WIDTH = 340;
const PITCH = 16;
const NAMES = 108;
const NUMBERS = 54;
const SPACE = WIDTH - NAMES - NUMBERS;

/** @param signed whether values are in -1..1 (a hidden state) or in 0..1 (probabilities) */
export function rows(count: number, signed: boolean): Chart {
  const lines = Array.from({ length: count }, (_, k) => line(k, signed));
  const zero = NAMES + (signed ? SPACE / 2 : 0);
  const axis = svg("line", { x1: zero, x2: zero, y1: 0, y2: count * PITCH, class: "axis" });
  const root = svg(
    "svg",
    {
      class: "chart",
      width: WIDTH,
      height: count * PITCH,
      viewBox: `0 0 ${WIDTH} ${count * PITCH}`,
      role: "img",
    },
    [axis, ...lines.map((one) => one.root)],
  );
  const update: Chart["update"] = (bars, chosen) => {
    lines.forEach(({ root: group, write }, k) => {
      set(group, "visibility", bars[k] ? null : "hidden");
      if (bars[k]) write(bars[k], k === chosen);
    });
    set(root, "aria-label", signed ? `Strongest: ${bars.map(said).join(", ")}` : spokenValues(bars));
  };
  return { root, update };
}

function said(bar: Bar) {
  return `${bar.label} ${bar.value.toFixed(2)}`;
}

function line(k: number, signed: boolean) {
  const base = k * PITCH + 12;
  const name = label(NAMES - 8, base, "row-name", "end");
  const number = label(WIDTH, base, "row-number", "end");
  const bar = svg("rect", { y: k * PITCH + 3, height: PITCH - 6, class: "row-bar", rx: 1 });
  let click: (() => void) | undefined;
  const root = svg("g", { on: { click: () => click?.() } }, [name, bar, number]);
  const zero = NAMES + (signed ? SPACE / 2 : 0);
  const scale = signed ? SPACE / 2 : SPACE;
  const write = (given: Bar, chosen: boolean) => {
    const long = Math.min(1, Math.abs(given.value || 0)) * scale; // values that a trace did not record are NaN
    click = given.click;
    name.textContent = shownToken(given.label);
    number.textContent = Number.isNaN(given.value) ? "\u2013" : given.value.toFixed(4);
    set(bar, "x", given.value < 0 ? zero - long : zero);
    set(bar, "width", long);
    bar.style.fill = signed ? colour("h", given.value) : "";
    root.classList.toggle("chosen", chosen);
    root.classList.toggle("clickable", click !== undefined);
  };
  return { root, write };
}
