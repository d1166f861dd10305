// The equations of the states with their numbers and a bar for each: the kept and written parts add up to the memory.
// The outline of a bar shows the whole value (c_prev, g, tanh(c)), the filled part what the gate lets through.

import type { ReadonlySignal } from "@preact/signals";
import type { Spans } from "studio/panels/microscope/cells.js";
import { flowColour } from "studio/panels/microscope/pipes.js";
import type { Numbers } from "studio/panels/microscope/types.js";
import type { Moment } from "studio/state/moment.js";
import { tick } from "studio/ui/draw.js";
import { equationLines } from "studio/ui/moment-words.js";
import { Text } from "studio/ui/stage.js";

const ROW = 21;
const BAR = 11;
const WIDE = 560; // minimum width for bars beside the equations
const TEXT = 372; // room for an equation
const NARROW_ROW = 40;
const ROOM = 345; // minimum width for a narrow panel to show the formula
const [NAME, VALUE] = [60, 74]; // room for the name before an equation, and for its value after it

export function barsHeight(moment: Moment, width: number): number {
  return equationLines(moment).length * (width >= WIDE ? ROW : NARROW_ROW) + 18;
}

/** @param props.spans of the bars */
export function Bars(props: {
  moment: Moment;
  width: number;
  numbers: ReadonlySignal<Numbers>;
  spans: (numbers: Numbers) => Spans[];
}) {
  const { moment, width } = props;
  const isWide = width >= WIDE;
  const end = isWide ? TEXT - 16 : width;
  return (
    <g class="hs-bars">
      <Drawn {...props} />
      {equationLines(moment).map(({ name, formula, numbers, value, edited }, k) => {
        const y = isWide ? k * ROW + 13 : k * NARROW_ROW + 13;
        return (
          <>
            <Text x={0} y={y} kind="hs-name" room={NAME - 4}>
              {name}
            </Text>
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

/** The bars, the line at 0 and the ends of the scale. */
function Drawn({ moment, width, numbers, spans }: Parameters<typeof Bars>[0]) {
  const isWide = width >= WIDE;
  const { value: now } = numbers;
  const { largest } = now;
  const [from, to] = [isWide ? TEXT : 2, width - 2];
  const x = (value: number) => (from + to) / 2 + (Math.max(-1, Math.min(1, value / largest || 0)) * (to - from)) / 2;
  const bottom = barsHeight(moment, width) - 16;
  const range = ([start, end]: [number, number]) => ({
    x: Math.min(x(start), x(end)),
    width: Math.abs(x(end) - x(start)),
  });
  return (
    <>
      {[-largest, 0, largest].map((value, k) => (
        <>
          <line x1={x(value)} x2={x(value)} y1={0} y2={bottom} class="hs-axis" />
          <text x={x(value)} y={bottom + 13} class="hs-tick" text-anchor={(["start", "middle", "end"] as const)[k]}>
            {value === 0 ? "0" : tick(Number(value.toPrecision(2)))}
          </text>
        </>
      ))}
      {spans(now).map(({ filled, outlined }, k) => {
        const y = isWide ? k * ROW + 3 : k * NARROW_ROW + 22;
        return (
          <>
            {outlined && <rect class="hs-whole" y={y} height={BAR} rx={2} {...range(outlined)} />}
            <rect
              {...{ class: "hs-part", y: y + 1, height: BAR - 2, rx: 1.5, ...range(filled) }}
              fill={flowColour("c", filled[1] - filled[0])}
            />
          </>
        );
      })}
    </>
  );
}
