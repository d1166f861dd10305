// The matrices with a pointer that is moved by mouse or arrow keys. It shows the name of a weight, and a lens enlarges
// its surroundings.

import {
  type Figure,
  type Matrix,
  type Spot,
  figureOf,
  matricesOf,
  spotAt,
  weightAt,
} from "studio/panels/structure/layout.js";
import { lens } from "studio/panels/structure/lens.js";
import { drawFigure } from "studio/panels/structure/matrix.js";
import { type Scale, scaleOf } from "studio/panels/structure/scale.js";
import { weightsPicture } from "studio/panels/structure/weights-picture.js";
import type { Model, TrackInfo } from "studio/types.js";
import { canvas, element, format, resize } from "studio/ui/draw.js";

const ROOM = 600; // minimum width of the matrices in pixels, even if they must scroll
const BESIDE = 330; // minimum free pixels beside the matrices for the lens to fit there
const BIG = 34; // minimum pixels of a weight for its number to fit inside; no lens is needed then

type Lens = ReturnType<typeof lens>;
interface Shown {
  figure: Figure;
  scale: Scale;
  gates: readonly string[];
  spot: Spot;
  glass: Lens;
  below: (matrix: Matrix) => string; // the text under a matrix
  title: string;
}

/** @param open called on a click */
export function matrixFigure(open: (gate: string, unit: number) => void) {
  const { canvas: drawing } = canvas(ROOM, 100, { class: "st-matrices", role: "img" });
  const mark = element("div", { class: "st-mark" });
  const holder = element(
    "div",
    { class: "st-holder", tabindex: 0, role: "group", "aria-label": "Weights; arrows move, Enter opens" },
    [drawing, mark],
  );
  const said = element("p", { class: "st-said number", "aria-live": "polite" });
  const side = element("div", { class: "st-side" });
  const root = element("div", { class: "st-weights" }, [element("div", { class: "st-scroll" }, [holder]), side]);
  let now: Shown | null = null;

  const look = (spot: Spot) => {
    if (!now) return;
    now.spot = spot;
    const { name, parameter, value } = weightAt(spot.placed.matrix, now.gates, spot.row, spot.column);
    said.replaceChildren(
      element("b", { text: `${name} = ${format(value)}` }),
      element("span", { class: "soft", text: parameter }),
    );
    now.glass.draw(spot, now.scale.limit);
    markAt(mark, spot);
  };
  const show = (model: Model, track: TrackInfo, below: (matrix: Matrix) => string) => {
    const width = root.clientWidth;
    const matrices = matricesOf(track, model.weights(track.name));
    const figure = figureOf(matrices, Math.max(ROOM, width)),
      scale = scaleOf(matrices.map(({ values }) => values));
    drawFigure(resize(drawing, figure.width, figure.height), figure, model.gates, scale.limit, below);
    drawing.setAttribute("aria-label", wordsOf(track, matrices));
    const glass = lens(model.gates),
      beside = width - figure.width - 28,
      wide = beside >= BESIDE;
    root.classList.toggle("is-wide", wide);
    glass.fit(wide ? beside : width, wide);
    side.replaceChildren(said, ...(figure.pixel < BIG ? [glass.root] : []));
    const spot = { placed: figure.placed[0], row: track.units, column: 0 };
    const title = `Weights of ${track.name} in ${model.name}`;
    now = { figure, scale, gates: model.gates, glass, spot, below, title };
    look(now.spot);
    return { figure, scale };
  };
  const chosen = () => {
    if (!now) return;
    const { gate, unit } = weightAt(now.spot.placed.matrix, now.gates, now.spot.row, now.spot.column);
    if (gate) open(gate, unit);
  };
  listen(holder, () => now, look, chosen);
  const picture = () => now && weightsPicture(now.figure, now.gates, now.scale.limit, now.below, now.title);
  return { root, show, picture };
}

function wordsOf({ name }: TrackInfo, matrices: Matrix[]): string {
  const shapes = matrices.map(({ parameter, rows, columns }) => `${parameter} ${rows} by ${columns}`);
  return `Weights of ${name}: ${shapes.join(", ")}`;
}

function listen(holder: HTMLElement, shown: () => Shown | null, look: (spot: Spot) => void, open: () => void) {
  const under = (event: MouseEvent) => {
    const box = holder.getBoundingClientRect(),
      now = shown();
    return now && spotAt(now.figure, event.clientX - box.left, event.clientY - box.top);
  };
  holder.addEventListener("pointermove", (event) => {
    const spot = under(event);
    if (spot) look(spot);
  });
  holder.addEventListener("click", (event) => {
    const spot = under(event);
    if (spot) (look(spot), open());
  });
  holder.addEventListener("keydown", (event) => {
    const now = shown();
    const spot = now && nextSpot(now.figure, now.spot, event.key);
    if (!spot && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation(); // here the arrow keys move the pointer
    if (spot) look(spot);
    else open();
  });
}

const WAYS: Record<string, [number, number]> = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
};

/** The spot that an arrow key moves to. Past a matrix's side, it is in the next matrix. */
export function nextSpot({ placed }: Figure, spot: Spot, key: string): Spot | null {
  const way = WAYS[key];
  if (!way) return null;
  const { rows, columns } = spot.placed.matrix;
  const row = Math.max(0, Math.min(rows - 1, spot.row + way[0])),
    column = spot.column + way[1];
  const next = placed[placed.indexOf(spot.placed) + (column < 0 ? -1 : column >= columns ? 1 : 0)];
  if (!next) return spot;
  const entered = column < 0 ? next.matrix.columns - 1 : column >= columns ? 0 : column;
  return { placed: next, row: Math.min(row, next.matrix.rows - 1), column: entered };
}

function markAt(mark: HTMLElement, { placed, row, column }: Spot) {
  const { x, y, cellWidth, cellHeight } = placed;
  const [width, height] = [Math.max(cellWidth, 7), Math.max(cellHeight, 7)];
  const place = {
    left: x + (column + 0.5) * cellWidth - width / 2,
    top: y + (row + 0.5) * cellHeight - height / 2,
    width,
    height,
  };
  for (const [name, value] of Object.entries(place)) mark.style.setProperty(name, `${value}px`);
}
