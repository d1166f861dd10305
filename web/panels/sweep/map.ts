// The heat map of a sweep: a row for each state of each layer and direction, a column for each step.

import { type Pair, type Sweep, differing } from "studio/panels/sweep/sweep.js";
import type { Place } from "studio/runtime/explain/sweep.js";
import { shortToken } from "studio/state/tokens.js";
import { exactly, svg } from "studio/ui/draw.js";
import { colours, level } from "studio/ui/scales.js";
import { text } from "studio/ui/svg-parts.js";
import { columnWidth } from "studio/ui/word-chart.js";

const LEFT = 46;
const [WORDS, ROW, LEGEND] = [26, 26, 26];

/**
 * @param sweep with computed effects
 * @param doings with the place's number
 */
export function patchMap(
  { pair, places, effects }: Sweep,
  width: number,
  { press, point }: { press: (n: number) => void; point: (n: number) => void },
): SVGSVGElement {
  const { subject, target } = pair.explained;
  const values = effects ?? new Float64Array(places.length);
  const T = subject.steps;
  const shown = subject.tokens.map((token) => shortToken(token, 16));
  const column = columnWidth(shown, width - LEFT - 4);
  const rows = places.length / T;
  const [total, height] = [Math.max(LEFT + T * column + 2, 260), WORDS + rows * ROW + LEGEND];
  const most = values.reduce((largest, one) => Math.max(largest, Math.abs(one)), 0);
  const changed = new Set(differing(subject, pair.other));
  const words = shown.map((word, t) => {
    const kind = `word${changed.has(t) ? " differs" : ""}${t === target.t ? " asked" : ""}`;
    return text(LEFT + t * column + column / 2, 17, kind, "middle", word, column - 4);
  });
  const names = Array.from({ length: rows }, (_, r) => {
    const { track, quantity } = places[r * T];
    const name = `${subject.tracks[track].info.name}.${quantity}`;
    return text(LEFT - 6, WORDS + r * ROW + ROW / 2 + 4, "row-name", "end", name, LEFT - 8);
  });
  const cells = places.map((_, n) => {
    const [r, t] = [Math.floor(n / T), n % T];
    const box = { x: LEFT + t * column, y: WORDS + r * ROW, width: column, height: ROW };
    return cell(box, fill(values[n], most), nameOf(pair, places[n], values[n]));
  });
  const legend = text(
    LEFT,
    height - 8,
    "patch-legend",
    "start",
    `orange raises, blue lowers; the strongest by ${exactly(most).replace("+", "")}`,
    Math.min(total, Math.max(width, 260)) - LEFT,
  );
  const root = svg("svg", { class: "patch-map", width: total, height, viewBox: `0 0 ${total} ${height}` });
  const back = svg("rect", { x: 0, y: WORDS, width: LEFT, height: rows * ROW, class: "names-back" });
  const stays = svg("g", { class: "stays" }, [back, ...names, legend]);
  root.append(...words, svg("g", { role: "group", "aria-label": "Effect of each patch" }, cells), stays);
  cells[strongest(values)]?.setAttribute("tabindex", "0");
  listen(root, cells, T, press, point);
  return root;
}

export function strongest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((best, one, n, all) => (Math.abs(one) > Math.abs(all[best]) ? n : best), 0);
}

function nameOf({ explained }: Pair, { track, quantity, t }: Place, effect: number): string {
  const { tracks, tokens } = explained.subject;
  return `${quantity} of ${tracks[track].info.name} at ${shortToken(tokens[t], 24)}, step ${t}: ${exactly(effect)}`;
}

function cell(box: { x: number; y: number; width: number; height: number }, colour: string, label: string) {
  return svg("rect", { ...box, fill: colour, class: "cell", role: "button", tabindex: "-1", "aria-label": label });
}

function fill(value: number, most: number): string {
  const table = colours("h");
  const at = level(value, [-most || -1, most || 1]) * 3;
  return `rgb(${table[at]}, ${table[at + 1]}, ${table[at + 2]})`;
}

function listen(
  root: SVGSVGElement,
  cells: SVGElement[],
  T: number,
  press: (n: number) => void,
  point: (n: number) => void,
) {
  const numberOf = ({ target }: Event) => cells.indexOf(target as SVGElement);
  const moves: Record<string, (n: number) => number> = {
    ArrowLeft: (n) => (n % T === 0 ? n : n - 1),
    ArrowRight: (n) => (n % T === T - 1 ? n : n + 1),
    ArrowUp: (n) => n - T,
    ArrowDown: (n) => n + T,
  };
  const go = (from: SVGElement | undefined, to: SVGElement | undefined) => {
    if (!from || !to) return;
    from.setAttribute("tabindex", "-1");
    to.setAttribute("tabindex", "0");
    to.focus();
  };
  for (const kind of ["pointerover", "focusin"]) {
    root.addEventListener(kind, (event) => numberOf(event) >= 0 && point(numberOf(event)));
  }
  root.addEventListener("click", (event) => numberOf(event) >= 0 && press(numberOf(event)));
  root.addEventListener("keydown", (event) => {
    const n = numberOf(event);
    if (n < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") press(n);
    else if (moves[event.key]) go(cells[n], cells[moves[event.key](n)]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
