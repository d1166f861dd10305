// How a gate is computed: the sum of its products, the largest first, and the activation curve.

import { curve, squashLine } from "studio/panels/microscope/curve.js";
import {
  type Columns,
  columnsFor,
  drawSum,
  FACTORS,
  nameRoom,
  ROW,
  runningOf,
  sumRow,
  VALUE,
} from "studio/panels/microscope/sum.js";
import { type Term, featureSource, termsOf } from "studio/panels/microscope/terms.js";
import { createTween } from "studio/panels/microscope/tween.js";
import type { Level, Scene } from "studio/panels/microscope/types.js";
import { activated } from "studio/runtime/kinds.js";
import { neighbours, unsquash } from "studio/state/moment.js";
import { trackOf } from "studio/state/units.js";
import { element, format, svg } from "studio/ui/draw.js";
import { doingOf } from "studio/ui/moment-words.js";
import { fit, text } from "studio/ui/svg-parts.js";

const SHOWN = 5; // number of terms on each side
const TOP = 18;
const SWIFT = 240;
const CURVE = { x: 26, height: 106 };
const BESIDE = 280; // x of the text beside the curve

export function gateLevel(scene: Scene): Level {
  return scene.model.hasWeights ? summed(scene) : traced(scene);
}

function summed(scene: Scene): Level {
  const { track, width } = scene;
  const { gate } = scene.view();
  let terms: Term[] = [];
  const columns = columnsFor(width);
  const open = sourceOpener(scene);
  const count = termsAt(scene, SHOWN).length;
  const rows = Array.from({ length: count }, (_, k) => sumRow(k, columns, (at) => open(terms[at])));
  const total = sumRow(count, columns, null);
  const bottom = TOP + (count + 1) * ROW;
  const zero = svg("line", { y1: -4, y2: (count + 1) * ROW + 2, class: "hs-axis" });
  const squashed = squashing(scene, gate, bottom + 10);
  const all = [...rows, total];
  const body = svg("g", { transform: `translate(0 ${TOP})` }, [zero, ...all.map(({ root }) => root)]);
  const root = svg("svg", { class: "hs-sum", width, height: squashed.bottom, role: "group" }, [
    ...headings(columns),
    body,
    squashed.root,
  ]);
  const tween = createTween((numbers) => drawSum(all, zero, columns, numbers));
  const update: Level["update"] = (view, pace) => {
    terms = termsAt(scene, SHOWN);
    const { sum } = dotAt(scene);
    terms.forEach((term, k) => rows[k].write(term));
    total.write({
      kind: "sum",
      name: `sum, before the ${scene.model.cell.activations[gate]}`,
      index: -1,
      weight: null,
      factor: null,
      value: sum,
    });
    squashed.write(sum);
    root.setAttribute(
      "aria-label",
      `How ${gate} of ${track.name}, unit ${view.unit}, is computed: ${squashLine(scene.model.cell, gate, sum)}`,
    );
    fit(root);
    tween.go(runningOf(terms), pace === "jump" ? 0 : SWIFT);
  };
  return { root, update, leave: tween.stop, picture: () => root, table: () => tableOf(termsAt(scene, Infinity)) };
}

function dotAt({ model, track, run, view }: Scene) {
  const { gate, unit, step } = view();
  return model.dotProduct(run(), track.name, gate, unit, step);
}

function termsAt(scene: Scene, shown: number): Term[] {
  return termsOf(scene.model, scene.track, scene.view().unit, dotAt(scene), shown);
}

/** Goes to a term's source: the unit below at this step, or a unit of this layer at the previous step. */
function sourceOpener({ model, track, run, view, go }: Scene): (term: Term) => void {
  return ({ kind, index }) => {
    const below = kind === "input" ? featureSource(model.tracks, track, index) : null;
    const inUnits = track.outputs === track.units;
    if (below && inUnits) return go({ zoom: "unit", track: below.track, unit: below.unit });
    const { before } = neighbours(trackOf(run(), track.name), view().step, run().steps);
    if (kind === "hidden" && before !== null && inUnits) go({ zoom: "unit", unit: index, step: before });
  };
}

function headings(columns: Columns): SVGElement[] {
  const { factors, value, from, to } = columns;
  const titles = [
    text(0, 12, "hs-head", "start", "the inputs", nameRoom(columns)),
    text(value, 12, "hs-head", "end", "adds", VALUE),
    text(from, 12, "hs-head", "start", "from 0 to the sum", to - from),
  ];
  return factors ? [...titles, text(factors, 12, "hs-head", "end", "weight·value", FACTORS)] : titles;
}

/** Draws the curve with the current point, and the equation beside it. */
function squashing(scene: Scene, gate: string, y: number) {
  const { model, width } = scene;
  const { root: picture, draw } = curve(scene.model.cell, gate);
  const beside = width >= BESIDE + 200;
  const [x, top] = beside ? [BESIDE, y + 30] : [0, y + CURVE.height + 12];
  const beyond = (lower: number, kind: string) => text(x, top + lower, kind, "start", "", width - x);
  const [line, doing, note] = [beyond(0, "hs-equation"), beyond(20, "hs-soft"), beyond(40, "hs-note")];
  picture.setAttribute("transform", `translate(${CURVE.x} ${y})`);
  const write = (sum: number) => {
    const held = valueAt(scene, gate),
      gives = activated(model.cell, gate, sum);
    draw(sum);
    line.textContent = squashLine(model.cell, gate, sum);
    doing.textContent = `${model.meanings[gate]}: ${doingOf(gate, gives)}`;
    note.textContent = Math.abs(held - gives) > 5e-5 ? `edited: the run has ${format(held)}` : "";
  };
  return { root: svg("g", {}, [picture, line, doing, note]), bottom: beside ? y + CURVE.height : top + 48, write };
}

function valueAt({ track, run, view }: Scene, gate: string): number {
  const { unit, step } = view();
  return trackOf(run(), track.name).values[gate][step * track.units + unit];
}

/** Shows only the curve with the gate's point, because a trace has no weights. */
function traced(scene: Scene): Level {
  const { width } = scene;
  const { gate } = scene.view();
  const { root: picture, draw } = curve(scene.model.cell, gate);
  const line = text(CURVE.x, CURVE.height + 24, "hs-equation", "start", "", width - CURVE.x);
  picture.setAttribute("transform", `translate(${CURVE.x} 10)`);
  const drawing = svg("svg", { class: "hs-sum", width, height: CURVE.height + 36, role: "group" }, [picture, line]);
  const why = element("p", { class: "hs-why", text: WHY });
  const update = () => {
    const value = valueAt(scene, gate),
      sum = unsquash(scene.model.cell, gate, value);
    draw(sum);
    line.textContent = Number.isFinite(sum)
      ? `${gate} = ${format(value)}, so the sum was ${format(sum)}`
      : `${gate} = ${format(value)}`;
    fit(drawing);
  };
  const table = () => [
    ["gate", "value"],
    [gate, String(valueAt(scene, gate))],
  ];
  return {
    root: element("div", {}, [why, drawing]),
    update,
    leave: () => {},
    picture: () => drawing as SVGSVGElement,
    table,
  };
}

const WHY =
  "This is a recorded run: it has the value of each gate, but not the weights. So the sum behind a gate " +
  "can't be broken down here. Open the model itself in the studio to see every product.";

function tableOf(terms: readonly Term[]): string[][] {
  const rows = terms.map(({ name, weight, factor, value }) => [
    name,
    String(weight ?? ""),
    String(factor ?? ""),
    String(value),
  ]);
  return [["term", "weight", "value", "adds"], ...rows];
}
