// One unit at one step as a circuit: the gates, the line of the memory, and the numbers that flow through them.

import { bars } from "studio/panels/microscope/bars.js";
import { gateBox, partBox, stateBox } from "studio/panels/microscope/boxes.js";
import { circuitOf } from "studio/panels/microscope/cells.js";
import { PIPE, pipes } from "studio/panels/microscope/pipes.js";
import { tokens } from "studio/panels/microscope/tokens.js";
import { createTween } from "studio/panels/microscope/tween.js";
import type { Layout, Level, Scene } from "studio/panels/microscope/types.js";
import { type Moment, memoryBefore, momentOf, reachOf } from "studio/state/moment.js";
import { format, svg } from "studio/ui/draw.js";
import { beginningOf, equationLines, sizeText, sourceOf, spokenMoment, targetOf } from "studio/ui/moment-words.js";
import { fit, text } from "studio/ui/svg-parts.js";

const SWIFT = 240; // duration of the animation of bars and wires, in milliseconds

export function circuit(scene: Scene): Level {
  const { model, track, width } = scene;
  const drawing = circuitOf(model.cell);
  const layout = drawing.layout(width, track.reverse);
  const first = momentOf(model, scene.run(), track.name, scene.view().unit, scene.view().step);
  const wires = pipes(layout),
    moving = tokens(layout, drawing.times),
    sums = bars(width, equationLines(first).length, drawing.spans);
  const open = (gate: string) => () => scene.go({ zoom: "gate", gate });
  const gates = drawing.gates.map((gate) =>
    gateBox(model, gate, layout.boxes[gate], { open: open(gate), edit: scene.editor(gate) }),
  );
  const parts = Object.entries(drawing.parts).map(([name, { gate, about }]) =>
    partBox(name, gate, about, layout.boxes[name], open(gate)),
  );
  const states = statesOf(layout, scene);
  const between = betweenNodes(layout, drawing.between),
    notes = text(0, layout.height + sums.height + 26, "hs-note");
  sums.root.setAttribute("transform", `translate(0 ${layout.height + 12})`);
  const height = layout.height + sums.height + 30;
  const root = svg(
    "svg",
    { class: "hs-circuit", width, height, viewBox: `-1 -1 ${width + 2} ${height + 2}`, role: "group" },
    [
      ...wires.parts,
      ...nodesOf(layout, drawing.symbols),
      ...between.parts,
      ...gates.map((gate) => gate.root),
      ...parts.map((part) => part.root),
      ...states.parts,
      moving.root,
      sums.root,
      notes,
    ],
  );
  const tween = createTween((numbers) => {
    wires.fill(numbers, numbers.largest);
    for (const gate of gates) gate.draw(numbers);
    sums.draw(numbers, numbers.largest);
  });
  const update: Level["update"] = (view, pace) => {
    const run = scene.run();
    const moment = momentOf(model, run, view.track, view.unit, view.step);
    for (const box of [...gates, ...parts]) box.write(moment);
    states.write(moment);
    between.write(moment);
    sums.write(moment);
    notes.textContent = noteOf(moment);
    root.setAttribute("aria-label", spokenMoment(moment, run));
    fit(root);
    tween.go(
      { ...moment.values, h: moment.values[moment.shown], largest: reachOf(moment.track, view.unit) },
      pace === "jump" ? 0 : SWIFT,
    );
    if (pace === "play") moving.run(moment.values, scene.pause());
    else moving.stop();
  };
  return { root, update, leave: () => (tween.stop(), moving.stop()), picture: () => root, table: () => tableOf(scene) };
}

/** The boxes of the states: the memory before and after the step, and the output if that is another state. */
function statesOf({ boxes }: Layout, scene: Scene) {
  const { track, model } = scene;
  const { memory } = model.cell;
  const past = memoryBefore(model.cell);
  const before = stateBox(past, false, boxes[past], null);
  const after = stateBox(memory, true, boxes[memory], scene.editor(memory));
  const editable = track.outputs === track.units;
  const output = memory === "h" ? null : stateBox("h", false, boxes.h, editable ? scene.editor("h") : null);
  const last = model.tracks[model.tracks.length - 1].layer;
  const { x, y, width } = boxes.x;
  const input = text(x, y + 19, "hs-soft", "start", "", width),
    hidden = text(x, y + 33, "hs-soft", "start", "", width);
  input.textContent = `x: ${sizeText(track.inputSize)}`;
  hidden.textContent = `h_prev: ${track.outputs}`;
  const write = (moment: Moment) => {
    const run = scene.run();
    before.write(moment, sourceOf(run, moment.before, beginningOf(model, moment.track, scene.live()).label));
    after.write(moment, targetOf(run, moment.after));
    output?.write(moment, moment.shown === "m" ? "h = W_hr·m" : track.layer < last ? "to layer above" : "output");
  };
  const roots = [before, after, output].flatMap((box) => (box === null ? [] : [box.root]));
  return { parts: [...roots, input, hidden], write };
}

/** The operations. */
function nodesOf({ nodes }: Layout, symbols: Record<string, string>): SVGElement[] {
  return Object.entries(symbols).map(([name, symbol]) => {
    const { x, y } = nodes[name];
    const circle = svg("circle", { cx: x, cy: y, r: PIPE });
    const kind = symbol.length > 1 ? "hs-tanh" : "hs-symbol";
    return svg("g", { class: "hs-node" }, [circle, text(x, y + (symbol.length > 1 ? 3.5 : 6), kind, "middle", symbol)]);
  });
}

/** The names and values of the flows between the operations. */
function betweenNodes({ labels }: Layout, names: Record<string, string>) {
  const made = Object.entries(names).map(([key, words]) => {
    const { at, anchor } = labels[key];
    return {
      key,
      name: text(at.x, at.y - 3, "hs-soft", anchor, words),
      number: text(at.x, at.y + 12, "hs-between", anchor),
    };
  });
  const write = ({ values }: Moment) => {
    for (const { key, number } of made) number.textContent = format(values[key]);
  };
  return { parts: made.flatMap(({ name, number }) => [name, number]), write };
}

/** The values that an edit replaced. */
function noteOf({ computed }: Moment): string {
  return Object.entries(computed)
    .map(([name, value]) => `${name} edited: the equation gives ${format(value)}`)
    .join("; ");
}

/** All steps of the unit. */
function tableOf(scene: Scene): string[][] {
  const run = scene.run(),
    view = scene.view();
  const moments = run.tokens.map((_, t) => momentOf(scene.model, run, view.track, view.unit, t));
  const names = Object.keys(moments[0].values);
  return [
    ["step", "token", ...names],
    ...moments.map(({ t, values }) => [String(t), run.tokens[t], ...names.map((name) => String(values[name]))]),
  ];
}
