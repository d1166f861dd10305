// Draws a network unrolled over its steps: a box for each step, layer and direction, and the shapes of all flows.

import { type Ink, line } from "studio/panels/structure/lines.js";
import { type Plan, BOX } from "studio/panels/structure/plan.js";
import { carried } from "studio/panels/structure/rows.js";
import { directions, outputSize } from "studio/panels/structure/sizes.js";
import type { TrackInfo } from "studio/types.js";
import { svg } from "studio/ui/draw.js";
import { sizeText } from "studio/ui/moment-words.js";
import { pressable, text } from "studio/ui/svg-parts.js";

/** @param open called on a click on a box */
export function unrolledPicture(
  plan: Plan,
  open: ((step: number, track: TrackInfo) => void) | null,
): { root: SVGSVGElement; point: (step: number, track: string) => void } {
  const { width, height, words, first, tracks } = plan;
  const column = svg("rect", {
    class: "st-column",
    y: 4,
    width: plan.column - 8,
    height: height - 8,
    rx: 8,
    x: 4 - plan.column / 2,
    display: "none",
  });
  const boxes = tracks.flatMap((track) => words.map((word, k) => boxAt(plan, k, track, word, open)));
  const root = svg(
    "svg",
    {
      class: "st-unrolled",
      width,
      height,
      role: "group",
      "aria-label": `The network unrolled over ${words.length} steps`,
    },
    [
      ...tracks.flatMap((track) => carried(plan, track)),
      ...words.flatMap((_, k) => climbed(plan, k)),
      ...boxes.map(({ root }) => root),
      column,
    ],
  );
  const point = (step: number, track: string) => {
    const inside = step >= first && step < first + words.length;
    column.setAttribute("display", inside ? "inline" : "none");
    column.setAttribute("transform", `translate(${plan.stepX(step - first)} 0)`);
    for (const box of boxes) box.root.classList.toggle("is-chosen", box.track === track && box.step === step);
  };
  return { root, point };
}

function boxAt(
  plan: Plan,
  k: number,
  track: TrackInfo,
  word: string,
  open: ((step: number, track: TrackInfo) => void) | null,
) {
  const { x, y } = plan.box(k, track),
    step = plan.first + k;
  const back = svg("rect", {
    x: x - BOX.width / 2,
    y: y - BOX.height / 2,
    ...BOX,
    rx: 9,
    class: track.reverse ? "st-box st-reverse" : "st-box",
  });
  const words = [
    text(x, y - 4, "st-kind", "middle", plan.sizes.cell.label),
    text(x, y + 12, "st-name", "middle", track.name),
  ];
  const root = svg("g", {}, [back, ...words]);
  if (open) pressable(root, `${track.name} at step ${step} “${word}”: open in the microscope`, () => open(step, track));
  return { root, step, track: track.name };
}

/** Draws one step: its word, the path up through the layers, and its output. */
function climbed(plan: Plan, k: number): SVGElement[] {
  const { sizes, words, first, height, rows: N } = plan,
    x = plan.stepX(k),
    D = directions(sizes),
    P = outputSize(sizes);
  const parts = [text(x, height - 18, "st-word", "middle", words[k])];
  let from = height - 36;
  let ink: Ink = "x";
  for (let layer = 0; layer < sizes.numLayers; layer++) {
    const size = layer === 0 ? `input[${first + k}] ${N}×${sizeText(sizes.inputSize)}` : `${N}×${D * P}`;
    parts.push(...rise(x, from, plan.split(layer), size, ink, D === 1), ...(D === 2 ? fork(plan, k, layer, ink) : []));
    [from, ink] = [plan.join(layer), "h"];
  }
  const out = plan.layers === sizes.numLayers ? `out[${first + k}]` : `to l${sizes.numLayers}`;
  return [
    ...parts,
    ...rise(x, from, from - 42, `${N}×${D * P}`, "h", true),
    text(x, from - 52, "st-out", "middle", out),
  ];
}

function rise(x: number, from: number, to: number, label: string, ink: Ink, head: boolean) {
  return [line(x, from, x, to, ink, head), text(x + 6, (from + to) / 2 + 4, `st-shape st-ink-${ink}`, "start", label)];
}

/** Splits a layer's x to the boxes of both directions, and joins their hidden states. */
function fork(plan: Plan, k: number, layer: number, ink: Ink): SVGElement[] {
  const x = plan.stepX(k),
    split = plan.split(layer),
    join = plan.join(layer),
    half = BOX.height / 2;
  const pair = plan.tracks.filter((track) => track.layer === layer);
  return pair.flatMap((track) => {
    const { x: at, y } = plan.box(k, track),
      side = track.reverse ? 6 : -6;
    return [
      bridged(line(at, split, at, y + half, ink, true), track.reverse),
      bridged(line(at, y - half, at, join, "h", false), !track.reverse),
      [line(x, split, at, split, ink, false), line(at, join, x, join, "h", false)],
      [
        text(
          at + side,
          join + 18,
          "st-shape st-ink-h",
          track.reverse ? "start" : "end",
          `${plan.rows}×${track.outputs}`,
        ),
      ],
    ].flat();
  });
}

/** A line drawn over others, with a gap where it crosses them. */
function bridged(over: SVGElement, crosses: boolean): SVGElement[] {
  if (!crosses) return [over];
  const gap = over.cloneNode() as SVGElement;
  gap.setAttribute("class", "st-gap");
  return [gap, over];
}
