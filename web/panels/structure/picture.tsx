// A network unrolled over its steps, time to the right and layers upwards: a box for each step, layer and direction, and
// the shapes of all flows.

import { directions, outputSize, type Sizes } from "studio/panels/structure/sizes.js";
import { tracksOf } from "studio/runtime/lstm.js";
import type { TrackInfo } from "studio/types.js";
import { sizeText } from "studio/ui/moment-words.js";
import { Press, Text } from "studio/ui/stage.js";

/** the kind of flow: a cell state, a hidden state, an input */
type Ink = "c" | "h" | "x";

const HEAD = 6; // size of an arrowhead

type Open = (step: number, track: string) => void;
/** `step`: at the cursor, in the track `track`; none if absent; `open`: called on a click on a box */
type PictureProps = { plan: Plan; step?: number; track?: string; open?: Open };

export function UnrolledPicture({ plan, step = -1, track: chosen, open }: PictureProps) {
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

type BoxProps = { plan: Plan; k: number; track: TrackInfo; isChosen: boolean; open?: Open };

function Box({ plan, k, track, isChosen, open }: BoxProps) {
  const { x, y } = plan.box(k, track);
  const step = plan.first + k;
  const kind = isChosen ? "is-chosen" : "";
  const parts = (
    <>
      <rect
        {...{ x: x - BOX.width / 2, y: y - BOX.height / 2, ...BOX, rx: 9 }}
        class={track.reverse ? "st-box st-reverse" : "st-box"}
      />
      <Text {...{ anchor: "middle", x, y: y - 4, kind: "st-kind", text: plan.sizes.cell.label }} />
      <Text {...{ anchor: "middle", x, y: y + 12, kind: "st-name", text: track.name }} />
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
            <Text
              {...{ anchor: "middle", x: (tail + clear + heads[k]) / 2, y: label, kind: `st-shape st-ink-${name}` }}
              text={`${name} ${rows}×${units}`}
            />
          </>
        ));
      })}
      {lanes.map(({ name, lane }) => (
        <>
          <Text
            {...{ x: Math.min(first, last) - 6, y: lane + 4, kind: `st-state st-ink-${name}`, anchor: "end" }}
            text={state(name, left, isWhole.first)}
          />
          <Text
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
      <Text {...{ anchor: "middle", x, y: height - 18, kind: "st-word", text: words[k] }} />
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
      <Text {...{ anchor: "middle", x, y: top - 52, kind: "st-out", text: out }} />
    </>
  );
}

function Rise(props: { x: number; from: number; to: number; label: string; ink: Ink; hasHead: boolean }) {
  const { x, from, to, label, ink, hasHead } = props;
  return (
    <>
      <Line {...{ from: [x, from], to: [x, to], ink, hasHead }} />
      <Text {...{ x: x + 6, y: (from + to) / 2 + 4, kind: `st-shape st-ink-${ink}`, text: label, anchor: "start" }} />
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
              <Text {...{ ...side, y: join + 18, kind: "st-shape st-ink-h", text: `${plan.rows}×${track.outputs}` }} />
            </>
          );
        })}
    </>
  );
}

export const BOX = { width: 78, height: 46 };
const GAP = 78; // distance between two boxes of a row: room for the label of an arrow
const MARGIN = 156; // space beside the outer boxes: room for an arrow and the name of a state
const SHIFT = 30; // offset of the two directions to the left and right of their step's middle
const ROW = 80; // distance from the forward row of a layer to its reverse row
const RISE = 44; // distance between layers
const FORK = 28; // space above a layer with two directions, and half of it below
const ABOVE = 74; // space above the topmost box
const BELOW = 80; // space below the lowest box
const LETTER = 8.4; // width of a letter in a word, in pixels
export const LANE = 13; // distance of c above, and of h below, the middle of a row
export const STEP_OUT = 86; // length of the first and the last arrow of a row

export interface Plan {
  sizes: Sizes;
  tracks: TrackInfo[];
  words: readonly string[];
  first: number; // the step of the first word
  rows: number; // N: the number of sequences in the batch
  steps: number; // T; the words may cover only some
  layers: number; // L; perhaps only the lower ones are drawn
  width: number;
  height: number;
  column: number; // from one step to the next
  shift: number;
  stepX: (k: number) => number; // middle of a step's column
  box: (k: number, track: TrackInfo) => { x: number; y: number }; // middle of a box
  split: (layer: number) => number; // y where a layer's x splits for its directions, or arrives
  join: (layer: number) => number; // y where a layer's hidden states join
}

type Drawn = Partial<Pick<Plan, "first" | "rows" | "steps" | "layers">>;

/** `words`: one per step; `part`: the part to draw */
export function unroll(sizes: Sizes, words: readonly string[], part: Drawn): Plan {
  const { first = 0, rows = 1, steps = words.length, layers = sizes.numLayers } = part;
  const shift = sizes.bidirectional ? SHIFT : 0;
  const longest = Math.max(...words.map((word) => [...word].length)) * LETTER + 16;
  const column = Math.max(BOX.width + GAP + (shift ? 26 : 0), longest);
  const level = BOX.height + RISE + (shift ? ROW + 2 * FORK : 0);
  const height = BELOW + level * sizes.numLayers - RISE + ABOVE;
  const stepX = (k: number) => MARGIN + BOX.width / 2 + shift + k * column;
  const box = (k: number, { layer, reverse }: Pick<TrackInfo, "layer" | "reverse">) => ({
    x: stepX(k) + (reverse ? shift : -shift),
    y: height - BELOW - (shift ? FORK / 2 : 0) - BOX.height / 2 - layer * level - (reverse ? ROW : 0),
  });
  const split = (layer: number) => box(0, { layer, reverse: false }).y + BOX.height / 2 + (shift ? FORK / 2 : 0);
  const join = (layer: number) => box(0, { layer, reverse: shift > 0 }).y - BOX.height / 2 - (shift ? FORK : 0);
  const width = 2 * (MARGIN + BOX.width / 2 + shift) + column * (words.length - 1);
  return {
    ...{ sizes, tracks: tracksOf(sizes), words, first, rows, steps, layers },
    ...{ width, height, column, shift, stepX, box, split, join },
  };
}

/** Describes how the output is made up of hidden states, and where it equals the final ones. */
export function outputText(sizes: Sizes): string {
  const last = sizes.numLayers * directions(sizes) - 1;
  const top = tracksOf(sizes)
    .filter(({ layer }) => layer === sizes.numLayers - 1)
    .map(({ name }) => `${name}.h`);
  if (!sizes.bidirectional) return `out[t] is ${top[0]}, so out[-1] is h_n[${last}].`;
  return `out[t] is ${top[0]} followed by ${top[1]}: out[-1] begins with h_n[${last - 1}], out[0] ends with h_n[${last}].`;
}

/** "LSTM 4 → 6". */
export const planTitle = (sizes: Sizes): string =>
  `${sizes.cell.label} ${sizeText(sizes.inputSize)} → ${directions(sizes) * outputSize(sizes)}`;
