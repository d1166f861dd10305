// Draws a network unrolled over its steps: a box for each step, layer and direction, and the shapes of all flows.

import { type Plan, BOX, LANE, STEP_OUT } from "studio/panels/structure/plan.js";
import { directions, outputSize } from "studio/panels/structure/sizes.js";
import type { TrackInfo } from "studio/types.js";
import { sizeText } from "studio/ui/moment-words.js";
import { Press, Text } from "studio/ui/stage.js";

/** the kind of flow: a cell state, a hidden state, an input */
type Ink = "c" | "h" | "x";
type Anchor = "start" | "middle" | "end";

const HEAD = 6; // size of an arrowhead

/** `step`: at the cursor, in the track `track`; none if absent; `open`: called on a click on a box */
export function UnrolledPicture(props: {
  plan: Plan;
  step?: number;
  track?: string;
  open?: (step: number, track: string) => void;
}) {
  const { plan, step = -1, track: chosen, open } = props;
  const { width, height, words, first, tracks } = plan;
  const at = step - first;
  const column = { x: 4 - plan.column / 2, y: 4, width: plan.column - 8, height: height - 8, rx: 8 };
  return (
    <svg
      {...{ class: "st-unrolled", width, height, role: "group" }}
      aria-label={`The network unrolled over ${words.length} steps`}
    >
      {tracks.map((track) => (
        <Row plan={plan} track={track} />
      ))}
      {words.map((_, k) => (
        <Climb plan={plan} k={k} />
      ))}
      {tracks.map((track) =>
        words.map((_, k) => <Box {...{ plan, k, track, open, isChosen: track.name === chosen && k === at }} />),
      )}
      {at >= 0 && at < words.length && (
        <rect class="st-column" {...column} transform={`translate(${plan.stepX(at)} 0)`} />
      )}
    </svg>
  );
}

function Box(props: {
  plan: Plan;
  k: number;
  track: TrackInfo;
  isChosen: boolean;
  open?: (step: number, track: string) => void;
}) {
  const { plan, k, track, isChosen, open } = props;
  const { x, y } = plan.box(k, track);
  const step = plan.first + k;
  const kind = isChosen ? "is-chosen" : "";
  const parts = (
    <>
      <rect
        {...{ x: x - BOX.width / 2, y: y - BOX.height / 2, ...BOX, rx: 9 }}
        class={track.reverse ? "st-box st-reverse" : "st-box"}
      />
      <Words {...{ x, y: y - 4, kind: "st-kind", text: plan.sizes.cell.label }} />
      <Words {...{ x, y: y + 12, kind: "st-name", text: track.name }} />
    </>
  );
  if (!open) return <g class={kind}>{parts}</g>;
  const label = `${track.name} at step ${step} “${plan.words[k]}”: open in the microscope`;
  return (
    <Press kind={kind} label={label} press={() => open(step, track.name)}>
      {parts}
    </Press>
  );
}

function Words(props: { x: number; y: number; kind: string; text: string; anchor?: Anchor }) {
  const { x, y, kind, text, anchor = "middle" } = props;
  return <Text x={x} y={y} kind={kind} anchor={anchor} text={text} />;
}

/** A line, perhaps with an arrow; over others with a gap where it crosses them. */
function Line(props: { from: [number, number]; to: [number, number]; ink: Ink; hasHead?: boolean; crosses?: boolean }) {
  const [[x0, y0], [x1, y1]] = [props.from, props.to];
  const [dx, dy] = [Math.sign(x1 - x0) * HEAD, Math.sign(y1 - y0) * HEAD];
  const arrow = props.hasHead
    ? `M${x1} ${y1}L${x1 - dx - dy * 0.6} ${y1 - dy - dx * 0.6}M${x1} ${y1}L${x1 - dx + dy * 0.6} ${y1 - dy + dx * 0.6}`
    : "";
  const d = `M${x0} ${y0}L${x1} ${y1}${arrow}`;
  return (
    <>
      {props.crosses && <path class="st-gap" d={d} />}
      <path class={`st-line st-line-${props.ink}`} d={d} />
    </>
  );
}

/** One row, in which c and h run from the initial state through all boxes to the final state. */
function Row({ plan, track }: { plan: Plan; track: TrackInfo }) {
  const way = track.reverse ? -1 : 1,
    half = BOX.width / 2;
  const middles = plan.words.map((_, k) => plan.box(k, track));
  if (track.reverse) middles.reverse();
  const [{ y }] = middles,
    first = middles[0].x - way * (half + STEP_OUT),
    last = middles[middles.length - 1].x + way * (half + STEP_OUT);
  const tails = [first, ...middles.map(({ x }) => x + way * half)],
    heads = [...middles.map(({ x }) => x - way * half), last];
  const { rows, sizes, tracks } = plan;
  const index = tracks.indexOf(track);
  const isWhole = { first: plan.first === 0, last: plan.first + plan.words.length === plan.steps };
  const [left, right] = track.reverse ? ["_n", "0"] : ["0", "_n"];
  const lanes = [
    { name: "c" as const, lane: y - LANE, label: y - LANE - 5, units: track.units },
    { name: "h" as const, lane: y + LANE, label: y + LANE + 14, units: track.outputs },
  ].filter(({ name }) => sizes.cell.carried.includes(name));
  const state = (name: string, end: string, isThere: boolean) => (isThere ? `${name}${end}[${index}]` : "…");
  return (
    <>
      {tails.map((tail, k) => {
        // The other direction's line crosses right after every box, so the label avoids it.
        const clear = k ? way * Math.max(0, 2 * plan.shift - half) : 0;
        return lanes.map(({ name, lane, label, units }) => (
          <>
            <Line from={[tail, lane]} to={[heads[k], lane]} ink={name} hasHead />
            <Words
              {...{ x: (tail + clear + heads[k]) / 2, y: label, kind: `st-shape st-ink-${name}` }}
              text={`${name} ${rows}×${units}`}
            />
          </>
        ));
      })}
      {lanes.map(({ name, lane }) => (
        <>
          <Words
            {...{ x: Math.min(first, last) - 6, y: lane + 4, kind: `st-state st-ink-${name}`, anchor: "end" }}
            text={state(name, left, isWhole.first)}
          />
          <Words
            {...{ x: Math.max(first, last) + 6, y: lane + 4, kind: `st-state st-ink-${name}`, anchor: "start" }}
            text={state(name, right, isWhole.last)}
          />
        </>
      ))}
    </>
  );
}

/** One step: its word, the path up through the layers, and its output. */
function Climb({ plan, k }: { plan: Plan; k: number }) {
  const { sizes, words, first, height, rows: N } = plan,
    x = plan.stepX(k),
    D = directions(sizes),
    P = outputSize(sizes);
  const layers = Array.from({ length: sizes.numLayers }, (_, layer) => layer);
  const start = (layer: number) => (layer === 0 ? height - 36 : plan.join(layer - 1));
  const top = start(sizes.numLayers);
  const out = plan.layers === sizes.numLayers ? `out[${first + k}]` : `to l${sizes.numLayers}`;
  return (
    <>
      <Words {...{ x, y: height - 18, kind: "st-word", text: words[k] }} />
      {layers.map((layer) => {
        const ink = layer === 0 ? "x" : "h";
        const size = layer === 0 ? `input[${first + k}] ${N}×${sizeText(sizes.inputSize)}` : `${N}×${D * P}`;
        return (
          <>
            <Rise {...{ x, from: start(layer), to: plan.split(layer), label: size, ink, hasHead: D === 1 }} />
            {D === 2 && <Fork {...{ plan, k, layer, ink }} />}
          </>
        );
      })}
      <Rise {...{ x, from: top, to: top - 42, label: `${N}×${D * P}`, ink: "h", hasHead: true }} />
      <Words {...{ x, y: top - 52, kind: "st-out", text: out }} />
    </>
  );
}

function Rise(props: { x: number; from: number; to: number; label: string; ink: Ink; hasHead: boolean }) {
  const { x, from, to, label, ink, hasHead } = props;
  return (
    <>
      <Line {...{ from: [x, from], to: [x, to], ink, hasHead }} />
      <Words {...{ x: x + 6, y: (from + to) / 2 + 4, kind: `st-shape st-ink-${ink}`, text: label, anchor: "start" }} />
    </>
  );
}

/** Splits a layer's x to the boxes of both directions, and joins their hidden states. */
function Fork({ plan, k, layer, ink }: { plan: Plan; k: number; layer: number; ink: Ink }) {
  const x = plan.stepX(k),
    split = plan.split(layer),
    join = plan.join(layer),
    half = BOX.height / 2;
  return (
    <>
      {plan.tracks
        .filter((track) => track.layer === layer)
        .map((track) => {
          const { x: at, y } = plan.box(k, track);
          const side = track.reverse ? { x: at + 6, anchor: "start" as const } : { x: at - 6, anchor: "end" as const };
          return (
            <>
              <Line from={[at, split]} to={[at, y + half]} ink={ink} hasHead crosses={track.reverse} />
              <Line from={[at, y - half]} to={[at, join]} ink="h" crosses={!track.reverse} />
              <Line from={[x, split]} to={[at, split]} ink={ink} />
              <Line from={[at, join]} to={[x, join]} ink="h" />
              <Words {...{ ...side, y: join + 18, kind: "st-shape st-ink-h", text: `${plan.rows}×${track.outputs}` }} />
            </>
          );
        })}
    </>
  );
}
