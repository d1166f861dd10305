// One unit at one step as a circuit: the gates, the line of the memory, and the numbers that flow through them.

import { useMemo } from "preact/hooks";
import { Bars, barsHeight } from "studio/panels/microscope/bars.js";
import { GateBox, PartBox, StateBox } from "studio/panels/microscope/boxes.js";
import { circuitFor } from "studio/panels/microscope/cells.js";
import { PIPE, Pipes, Tokens } from "studio/panels/microscope/pipes.js";
import { usePaced, useTween } from "studio/panels/microscope/tween.js";
import type { Layout, Scene } from "studio/panels/microscope/types.js";
import { gatesApart } from "studio/runtime/kinds.js";
import { type Moment, memoryBefore, readMoment, memoryReach } from "studio/state/moment.js";
import type { View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { destination, initialState, sizeText, source, spokenMoment } from "studio/ui/moment-words.js";
import { Text, useFit } from "studio/ui/stage.js";

export function UnitLevel({ scene }: { scene: Scene }) {
  const { view } = useApp();
  const { model, run, info, width, go } = scene;
  const { unit } = view;
  const step = Math.min(view.step, run.steps - 1);
  const root = useFit<SVGSVGElement>();
  const { value: moment, pace } = usePaced(() => readMoment(model, run, info.name, unit, step), [run, info, unit]);
  const target = useMemo(() => {
    return { ...moment.values, h: moment.values[moment.shown], largest: memoryReach(moment.track, unit) };
  }, [moment]);
  const numbers = useTween(target, pace);
  const circuit = circuitFor(model.cell);
  const layout = useMemo(() => circuit.layout(width, info.reverse), [model.cell, width, info.reverse]);
  const height = layout.height + barsHeight(moment, width) + 30;
  const open = (gate: string) => go({ zoom: "gate", gate });
  return (
    <svg
      {...{ ref: root, class: "hs-circuit", width, height, viewBox: `-1 -1 ${width + 2} ${height + 2}`, role: "group" }}
      aria-label={spokenMoment(moment, run)}
    >
      <Pipes layout={layout} numbers={numbers} />
      {Object.entries(circuit.symbols).map(([name, symbol]) => (
        <Operation at={layout.nodes[name]} symbol={symbol} />
      ))}
      {Object.entries(circuit.between).map(([name, words]) => (
        <Between label={layout.labels[name]} words={words} value={moment.values[name]} />
      ))}
      {gatesApart(model.cell).map((gate) => (
        <GateBox {...{ scene, moment, gate, numbers, box: layout.boxes[gate] }} open={() => open(gate)} />
      ))}
      {Object.entries(circuit.parts).map(([name, { gate, about }]) => (
        <PartBox {...{ name, gate, about, moment, box: layout.boxes[name] }} open={() => open(gate)} />
      ))}
      <States {...{ scene, moment, layout }} />
      <Tokens {...{ layout, times: circuit.times, values: moment.values, isPlaying: pace === "play" }} />
      <g transform={`translate(0 ${layout.height + 12})`}>
        <Bars {...{ moment, width, numbers, spans: circuit.spans }} />
      </g>
      <Text x={0} y={height - 4} kind="hs-note">
        {replacedText(moment)}
      </Text>
    </svg>
  );
}

/** The boxes of the states: the memory before and after the step, and the output if that is another state. */
function States({ scene, moment, layout }: { scene: Scene; moment: Moment; layout: Layout }) {
  const { live } = useApp().session;
  const { info, model, run } = scene;
  const { memory } = model.cell;
  const { boxes } = layout;
  const past = memoryBefore(model.cell);
  const last = model.tracks[model.tracks.length - 1].layer;
  const from = source(run, moment.before, initialState(model, moment.track, live).label);
  const output = moment.shown === "m" ? "h = W_hr·m" : info.layer < last ? "to layer above" : "output";
  const { x, y, width } = boxes.x;
  return (
    <>
      <StateBox {...{ name: past, moment, box: boxes[past], words: from, edit: null }} />
      <StateBox
        {...{ name: memory, moment, box: boxes[memory], words: destination(run, moment.after), edit: scene.edit }}
        isChange
      />
      {memory !== "h" && (
        <StateBox
          {...{ name: "h", moment, box: boxes.h, words: output, edit: info.outputs === info.units ? scene.edit : null }}
        />
      )}
      <Text x={x} y={y + 19} kind="hs-soft" room={width}>
        {`x: ${sizeText(info.inputSize)}`}
      </Text>
      <Text x={x} y={y + 33} kind="hs-soft" room={width}>
        {`h_prev: ${info.outputs}`}
      </Text>
    </>
  );
}

function Operation({ at: { x, y }, symbol }: { at: { x: number; y: number }; symbol: string }) {
  const isWord = symbol.length > 1;
  return (
    <g class="hs-node">
      <circle cx={x} cy={y} r={PIPE} />
      <text x={x} y={y + (isWord ? 3.5 : 6)} class={isWord ? "hs-tanh" : "hs-symbol"} text-anchor="middle">
        {symbol}
      </text>
    </g>
  );
}

/** The name and value of a flow between two operations. */
function Between({ label, words, value }: { label: Layout["labels"][string]; words: string; value: number }) {
  const { at, anchor } = label;
  return (
    <>
      <text x={at.x} y={at.y - 3} class="hs-soft" text-anchor={anchor}>
        {words}
      </text>
      <text x={at.x} y={at.y + 12} class="hs-between" text-anchor={anchor}>
        {format(value)}
      </text>
    </>
  );
}

/** The values that an edit replaced. */
function replacedText({ computed }: Moment): string {
  return Object.entries(computed)
    .map(([name, value]) => `${name} edited: the equation gives ${format(value)}`)
    .join("; ");
}

/** All steps of the unit. */
export function unitRows({ model, run, info }: Scene, { unit }: View): string[][] {
  const moments = run.tokens.map((_, t) => readMoment(model, run, info.name, unit, t));
  const names = Object.keys(moments[0].values);
  return [
    ["step", "token", ...names],
    ...moments.map(({ t, values }) => [String(t), run.tokens[t], ...names.map((name) => String(values[name]))]),
  ];
}
