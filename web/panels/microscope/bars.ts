// The equations of the states with their numbers and a bar for each: the kept and written parts add up to the memory.
// The outline of a bar shows the whole value (c_prev, g, tanh(c)), the filled part what the gate lets through.

import type { Spans } from "studio/panels/microscope/cells.js";
import { flowColour } from "studio/panels/microscope/pipes.js";
import type { Numbers } from "studio/panels/microscope/tween.js";
import type { Moment } from "studio/state/moment.js";
import { svg, tick } from "studio/ui/draw.js";
import { type Line, equationLines } from "studio/ui/moment-words.js";
import { text } from "studio/ui/svg-parts.js";

const ROW = 21;
const BAR = 11;
const WIDE = 560; // minimum width for bars beside the equations
const TEXT = 372; // room for an equation
const NARROW_ROW = 40;
const ROOM = 345; // minimum width for a narrow panel to show the formula
const [NAME, VALUE] = [60, 74]; // room for the name before an equation, and for its value after it

interface Bars {
  root: SVGElement;
  height: number;
  write: (moment: Moment) => void;
  draw: (numbers: Numbers, largest: number) => void;
}

/** @param count of the equations */
export function bars(width: number, count: number, spansOf: (numbers: Numbers) => Spans[]): Bars {
  const wide = width >= WIDE;
  const scale = { from: wide ? TEXT : 2, to: width - 2 };
  const rows = Array.from({ length: count }, (_, k) => row(k, wide, width));
  const bottom = count * (wide ? ROW : NARROW_ROW) + 2;
  const { root: axis, draw: drawAxis } = axisAt(scale, bottom);
  const write = (moment: Moment) => equationLines(moment).forEach((line, k) => rows[k].write(line));
  const draw = (numbers: Numbers, largest: number) => {
    const x = (value: number) => xOf(value, largest, scale);
    spansOf(numbers).forEach((spans, k) => rows[k].draw(spans, x));
    drawAxis(largest);
  };
  const root = svg("g", { class: "hs-bars" }, [axis, ...rows.map((one) => one.root)]);
  return { root, height: bottom + 16, write, draw };
}

function xOf(value: number, largest: number, { from, to }: { from: number; to: number }): number {
  const part = Math.max(-1, Math.min(1, value / largest || 0));
  return (from + to) / 2 + (part * (to - from)) / 2;
}

function row(k: number, wide: boolean, width: number) {
  const y = wide ? k * ROW + 3 : k * NARROW_ROW + 22;
  const baseline = wide ? y + 10 : k * NARROW_ROW + 13;
  const outline = svg("rect", { class: "hs-whole", y, height: BAR, rx: 2 });
  const bar = svg("rect", { class: "hs-part", y: y + 1, height: BAR - 2, rx: 1.5 });
  const end = wide ? TEXT - 16 : width;
  const name = text(0, baseline, "hs-name", "start", "", NAME - 4);
  const formula = text(NAME, baseline, "hs-formula", "start", "", end - NAME - VALUE - 4);
  const value = text(end, baseline, "hs-result", "end", "", VALUE);
  const write = (line: Line) => {
    name.textContent = line.name;
    formula.textContent = `= ${line.formula && (wide || width >= ROOM) ? `${line.formula} = ` : ""}${line.numbers}`;
    value.textContent = `= ${line.value}`;
    value.classList.toggle("is-edited", line.edited);
  };
  const draw = ({ filled, outlined }: Spans, x: (value: number) => number) => {
    place(bar, filled, x);
    bar.setAttribute("fill", flowColour("c", filled[1] - filled[0]));
    outline.setAttribute("display", outlined ? "inline" : "none");
    if (outlined) place(outline, outlined, x);
  };
  return { root: svg("g", {}, [outline, bar, name, formula, value]), write, draw };
}

function place(rect: SVGElement, [from, to]: [number, number], x: (value: number) => number) {
  const [a, b] = [x(from), x(to)];
  rect.setAttribute("x", String(Math.min(a, b)));
  rect.setAttribute("width", String(Math.abs(b - a)));
}

/** The line at 0 and the ends of the scale. */
function axisAt({ from, to }: { from: number; to: number }, bottom: number) {
  const middle = (from + to) / 2;
  const lines = [from, middle, to].map((x) => svg("line", { x1: x, x2: x, y1: 0, y2: bottom, class: "hs-axis" }));
  const anchors = ["start", "middle", "end"];
  const texts = [from, middle, to].map((x, k) =>
    svg("text", { x, y: bottom + 13, "text-anchor": anchors[k], class: "hs-tick" }),
  );
  const draw = (largest: number) =>
    [-largest, 0, largest].forEach(
      (value, k) => (texts[k].textContent = value === 0 ? "0" : tick(Number(value.toPrecision(2)))),
    );
  return { root: svg("g", {}, [...lines, ...texts]), draw };
}
