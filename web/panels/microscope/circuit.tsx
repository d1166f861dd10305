// One unit at one step as a circuit: the gates, the line of the memory, and the numbers that flow through them.

import { useMemo, useRef } from "preact/hooks";
import { GateBox, PartBox, StateBox } from "studio/panels/microscope/boxes.js";
import { circuitFor, type Spans } from "studio/panels/microscope/cells.js";
import { layoutOf } from "studio/panels/microscope/layouts.js";
import { PIPE, Pipes, flowColour } from "studio/panels/microscope/pipes.js";
import type { Layout, Numbers, Point, Scene } from "studio/panels/microscope/types.js";
import { gatesApart } from "studio/runtime/kinds.js";
import { type Moment, memoryBefore, readMoment, memoryReach } from "studio/state/moment.js";
import type { View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { format, tick } from "studio/ui/draw.js";
import { destination, initialState, sizeText, source, spokenMoment, equationLines } from "studio/ui/moment-words.js";
import { ANCHORS, Text } from "studio/ui/stage.js";

const MOVING = 160; // milliseconds that a flow takes to its new width; steps that follow sooner are drawn at once

export function UnitLevel({ scene }: { scene: Scene }) {
  const { view } = useApp();
  const { model, run, info, width, go } = scene;
  const { unit } = view;
  const step = Math.min(view.step, run.steps - 1);
  const moment = readMoment(model, run, info.name, unit, step);
  const numbers = { ...moment.values, h: moment.values[moment.shown], largest: memoryReach(moment.track, unit) };
  const circuit = circuitFor(model.cell);
  const { operations, places } = circuit;
  const layout = useMemo(() => layoutOf(operations, places, width, info.reverse), [circuit, width, info.reverse]);
  const height = layout.height + barsHeight(moment, width) + 30;
  const open = (gate: string) => go({ zoom: "gate", gate });
  const drawn = useRef(-Infinity);
  const isQuick = performance.now() - drawn.current < MOVING;
  drawn.current = performance.now();
  const replaced = Object.entries(moment.computed).map(
    ([name, value]) => `${name} edited: the equation gives ${format(value)}`,
  );
  return (
    <svg
      {...{ width, height, viewBox: `-1 -1 ${width + 2} ${height + 2}`, role: "group" }}
      class={isQuick ? "hs-circuit is-quick" : "hs-circuit"}
      aria-label={spokenMoment(moment, run)}
    >
      <Pipes layout={layout} numbers={numbers} />
      {Object.entries(operations).map(([name, { symbol }]) => (
        <Node at={layout.nodes[name]} symbol={symbol || model.cell.activations.h} />
      ))}
      {Object.entries(circuit.between).map(([name, words]) => (
        <Between label={layout.labels[name]} words={words} value={moment.values[name]} />
      ))}
      {gatesApart(model.cell).map((gate) => (
        <GateBox {...{ scene, moment, gate, box: layout.boxes[gate] }} open={() => open(gate)} />
      ))}
      {Object.entries(circuit.parts).map(([name, { gate, about }]) => (
        <PartBox {...{ name, gate, about, moment, box: layout.boxes[name] }} open={() => open(gate)} />
      ))}
      <States {...{ scene, moment, layout }} />
      <g transform={`translate(0 ${layout.height + 12})`}>
        <Bars {...{ moment, width, numbers, spans: circuit.spans }} />
      </g>
      <Text x={0} y={height - 4} kind="hs-note" text={replaced.join("; ")} />
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
      <Text x={x} y={y + 19} kind="hs-soft" room={width} text={`x: ${sizeText(info.inputSize)}`} />
      <Text x={x} y={y + 33} kind="hs-soft" room={width} text={`h_prev: ${info.outputs}`} />
    </>
  );
}

function Node({ at: [x, y], symbol }: { at: Point; symbol: string }) {
  const isWord = symbol.length > 1;
  return (
    <g class="hs-node">
      <circle cx={x} cy={y} r={PIPE} />
      <Text x={x} y={y + (isWord ? 3.5 : 6)} kind={isWord ? "hs-tanh" : "hs-symbol"} anchor="middle" text={symbol} />
    </g>
  );
}

function Between({ label, words, value }: { label: Layout["labels"][string]; words: string; value: number }) {
  const [x, y, anchor] = label;
  return (
    <>
      <Text x={x} y={y - 3} kind="hs-soft" anchor={anchor} text={words} />
      <Text x={x} y={y + 12} kind="hs-between" anchor={anchor} text={format(value)} />
    </>
  );
}

export function unitRows({ model, run, info }: Scene, { unit }: View): string[][] {
  const moments = run.tokens.map((_, t) => readMoment(model, run, info.name, unit, t));
  const names = Object.keys(moments[0].values);
  return [
    ["step", "token", ...names],
    ...moments.map(({ t, values }) => [String(t), run.tokens[t], ...names.map((name) => String(values[name]))]),
  ];
}

const ROW = 21;
const BAR = 11;
const WIDE = 560; // minimum width for bars beside the equations
const TEXT = 372; // room for an equation
const NARROW_ROW = 40;
const ROOM = 345; // minimum width for a narrow panel to show the formula
const [NAME, VALUE] = [60, 74]; // room for the name before an equation, and for its value after it

const barsHeight = (moment: Moment, width: number): number =>
  equationLines(moment).length * (width >= WIDE ? ROW : NARROW_ROW) + 18;

type BarsProps = { moment: Moment; width: number; numbers: Numbers; spans: (numbers: Numbers) => Spans[] };

/** The equations, and beside or below each a bar, on a scale with its ends and 0. */
function Bars({ moment, width, numbers, spans }: BarsProps) {
  const isWide = width >= WIDE;
  const end = isWide ? TEXT - 16 : width;
  const { largest } = numbers;
  const [from, to] = [isWide ? TEXT : 2, width - 2];
  const x = (value: number) => (from + to) / 2 + (Math.max(-1, Math.min(1, value / largest || 0)) * (to - from)) / 2;
  const bottom = barsHeight(moment, width) - 16;
  const range = ([start, end]: [number, number]) => ({
    x: Math.min(x(start), x(end)),
    width: Math.abs(x(end) - x(start)),
  });
  return (
    <g class="hs-bars">
      {[-largest, 0, largest].map((value, k) => (
        <>
          <line x1={x(value)} x2={x(value)} y1={0} y2={bottom} class="hs-axis" />
          <text x={x(value)} y={bottom + 13} class="hs-tick" text-anchor={ANCHORS[k]}>
            {value === 0 ? "0" : tick(Number(value.toPrecision(2)))}
          </text>
        </>
      ))}
      {spans(numbers).map(({ filled, outlined }, k) => {
        const y = isWide ? k * ROW + 3 : k * NARROW_ROW + 22;
        return (
          <>
            {outlined && <rect class="hs-whole hs-moves" y={y} height={BAR} rx={2} {...range(outlined)} />}
            <rect
              {...{ class: "hs-part hs-moves", y: y + 1, height: BAR - 2, rx: 1.5, ...range(filled) }}
              fill={flowColour("c", filled[1] - filled[0])}
            />
          </>
        );
      })}
      {equationLines(moment).map(({ name, formula, numbers, value, edited }, k) => {
        const y = isWide ? k * ROW + 13 : k * NARROW_ROW + 13;
        return (
          <>
            <Text x={0} y={y} kind="hs-name" room={NAME - 4} text={name} />
            <Text x={NAME} y={y} kind="hs-formula" room={end - NAME - VALUE - 4}>
              {`= ${formula && (isWide || width >= ROOM) ? `${formula} = ` : ""}${numbers}`}
            </Text>
            <Text x={end} y={y} kind={edited ? "hs-result is-edited" : "hs-result"} anchor="end" room={VALUE}>
              {`= ${value}`}
            </Text>
          </>
        );
      })}
    </g>
  );
}
