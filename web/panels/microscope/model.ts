// The whole model at one step, from its input at the bottom to its prediction at the top. Each layer can be opened.

import { type Stacked, boxesOf } from "studio/panels/microscope/stack.js";
import type { Level, Scene } from "studio/panels/microscope/types.js";
import { shortToken, stepName } from "studio/state/tokens.js";
import { trackOf } from "studio/state/units.js";
import type { Head, TrackInfo, View } from "studio/types.js";
import { percent, svg } from "studio/ui/draw.js";
import { fit, pressable, text } from "studio/ui/svg-parts.js";

export function modelLevel(scene: Scene): Level {
  const { model, width } = scene;
  const { boxes, links, height } = boxesOf(model, scene.run(), width);
  const made = boxes.map((box) => drawn(box, scene));
  const lines = links.flatMap(({ path, label, x, y }) => [
    svg("path", { class: "hs-link", d: path }),
    text(x, y, "hs-soft hs-mono", "start", label),
  ]);
  const root = svg(
    "svg",
    { class: "hs-model", width, height, role: "group", "aria-label": `The parts of ${model.name}` },
    [...lines, ...made.map(({ root }) => root)],
  );
  const update = (view: View) => {
    for (const one of made) one.update(view);
    fit(root);
  };
  const table = () => [["part", "shape"], ...model.parts.map(({ label, shape }) => [label, shape.join("×")])];
  return { root, update, leave: () => {}, picture: () => root, table };
}

function drawn(box: Stacked, scene: Scene): { root: SVGElement; update: (view: View) => void } {
  if (box.kind === "token") return tokenBox(box, scene);
  if (box.kind === "track") return trackBox(box, scene);
  if (box.kind === "head") return headBox(box, scene);
  return { root: partBox(box), update: () => {} };
}

function frame({ x, y, width, height, label, shape }: Stacked, kind: string): SVGElement[] {
  const back = svg("rect", { x, y, width, height, rx: 8, class: `hs-box hs-box-${kind}` });
  const below = kind === "part"; // too narrow for a name and a shape side by side
  const room = width - 20;
  const size = below
    ? text(x + 10, y + 32, "hs-soft hs-mono", "start", shape, room)
    : text(x + width - 10, y + 17, "hs-soft hs-mono", "end", shape, 0.45 * room);
  return [back, text(x + 10, y + 17, "hs-box-name", "start", label, below ? room : 0.5 * room), size];
}

function partBox(box: Stacked) {
  return svg("g", {}, frame(box, "part"));
}

function tokenBox(box: Stacked, { run }: Scene) {
  const words = text(box.x + box.width / 2, box.y + 18, "hs-token-word", "middle", "", box.width - 8);
  const update = ({ step }: View) => {
    words.textContent = stepName(run(), step);
  };
  return { root: svg("g", {}, [words]), update };
}

/** A layer and direction: all units of h at this step, as small bars above and below zero. */
function trackBox(box: Stacked, { run, go }: Scene) {
  const info = box.track as TrackInfo;
  const area = {
    x: box.x + 10,
    width: box.width - 20,
    zero: box.y + (box.height + 22) / 2,
    reach: (box.height - 30) / 2,
  };
  const up = svg("path", { fill: "var(--plus)" }),
    down = svg("path", { fill: "var(--minus)" });
  const axis = svg("line", { x1: area.x, x2: area.x + area.width, y1: area.zero, y2: area.zero, class: "hs-axis" });
  const root = svg("g", {}, [...frame(box, "track"), axis, up, down]);
  pressable(root, `${info.name}, ${info.units} units: open`, () => go({ zoom: "layer", track: info.name }));
  const update = ({ step, track }: View) => {
    const now = trackOf(run(), info.name).values.h.subarray(step * info.outputs, (step + 1) * info.outputs);
    up.setAttribute("d", barsOf(now, 1, area));
    down.setAttribute("d", barsOf(now, -1, area));
    root.classList.toggle("is-chosen", track === info.name);
  };
  return { root, update };
}

/** The bars of the values with one sign. */
function barsOf(
  values: Float32Array,
  sign: number,
  { x, width, zero, reach }: { x: number; width: number; zero: number; reach: number },
): string {
  const wide = width / values.length,
    bar = Math.max(0.5, Math.min(wide * 0.8, 12)).toFixed(2);
  return Array.from(values, (value, k) =>
    value * sign > 0 ? `M${(x + k * wide).toFixed(2)} ${zero}h${bar}v${(-value * reach).toFixed(2)}h-${bar}z` : "",
  ).join("");
}

/** The model's prediction at this step: its likeliest labels. */
function headBox(box: Stacked, { run }: Scene) {
  const rows = [0, 1, 2].map((k) => choiceRow(box, box.y + 25 + k * 19));
  const title = frame(box, "head");
  const update = (view: View) => {
    const head = run().heads.find(({ name }) => name === view.head) ?? run().heads[0];
    title[1].textContent = box.label.startsWith(head.name) ? box.label : `${box.label}: ${head.name}`;
    likeliest(head, view.step, rows.length).forEach(([label, share], k) => rows[k].show(label, share));
  };
  return { root: svg("g", {}, [...title, ...rows.map(({ root }) => root)]), update };
}

function choiceRow({ x, width }: Stacked, y: number) {
  const from = x + 96,
    room = width - 96 - 62;
  const bar = svg("rect", { x: from, y: y + 2, height: 11, rx: 2, width: 0, fill: "var(--accent)" });
  const name = text(x + 10, y + 12, "hs-choice", "start", "", 82),
    part = text(x + width - 10, y + 12, "hs-soft hs-mono", "end", "", 48);
  const show = (label: string, share: number) => {
    name.textContent = shortToken(label, 11);
    part.textContent = percent(share);
    bar.setAttribute("width", String(Math.max(1, share * room)));
  };
  return { root: svg("g", {}, [bar, name, part]), show };
}

function likeliest({ labels, probabilities }: Head, t: number, count: number): [string, number][] {
  const here = probabilities.subarray(t * labels.length, (t + 1) * labels.length);
  const order = Array.from(here.keys()).sort((a, b) => here[b] - here[a]);
  return order.slice(0, count).map((k) => [labels[k], here[k]]);
}
