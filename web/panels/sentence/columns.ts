// A distribution over a few labels, with one column per label, always in the same order.

import type { Chart } from "studio/panels/sentence/types.js";
import { label, set, svg } from "studio/ui/draw.js";

const WIDTH = 330;
const HEIGHT = 50;
const TOP = 12; // room for the numbers above the columns
const NAMES = 34;

export function columns(labels: readonly string[]): Chart {
  const pitch = WIDTH / labels.length;
  const bars = labels.map((_, k) =>
    svg("rect", { x: k * pitch + pitch * 0.14, width: pitch * 0.72, class: "column", rx: 1 }),
  );
  const numbers = labels.map((_, k) => label((k + 0.5) * pitch, 0, "column-number", "middle"));
  const names = labels.map((text, k) => {
    const [x, y] = [(k + 0.5) * pitch + 3, TOP + HEIGHT + 8];
    return svg("text", { x, y, class: "column-name", "text-anchor": "end", transform: `rotate(-52 ${x} ${y})`, text });
  });
  const base = svg("line", { x1: 0, x2: WIDTH, y1: TOP + HEIGHT + 0.5, y2: TOP + HEIGHT + 0.5, class: "axis" });
  const full = svg("line", { x1: 0, x2: WIDTH, y1: TOP + 0.5, y2: TOP + 0.5, class: "axis faint" });
  const height = TOP + HEIGHT + NAMES;
  const root = svg(
    "svg",
    { class: "chart", width: WIDTH, height, viewBox: `-14 0 ${WIDTH + 18} ${height}`, role: "img" },
    [full, base, ...bars, ...numbers, ...names],
  );
  const update: Chart["update"] = (values, chosen) => {
    values.forEach(({ value }, k) => {
      const tall = Math.max(0, value) * HEIGHT;
      set(bars[k], "y", TOP + HEIGHT - tall);
      set(bars[k], "height", tall);
      bars[k].classList.toggle("chosen", k === chosen);
      names[k].classList.toggle("chosen", k === chosen);
      set(numbers[k], "y", TOP + HEIGHT - tall - 3);
      numbers[k].textContent = value >= 0.05 ? value.toFixed(2) : "";
    });
    set(root, "aria-label", spokenValues(values));
  };
  return { root, update };
}

export function spokenValues(values: { label: string; value: number }[]): string {
  const best = [...values]
    .sort((a, b) => b.value - a.value)
    .slice(0, 5)
    .filter(({ value }) => value >= 0.005);
  return `Likeliest: ${best.map(({ label: name, value }) => `${name} ${value.toFixed(2)}`).join(", ")}`;
}
