// The whole model at one step, from its input at the bottom to its prediction at the top. Each layer can be opened.

import type { Scene } from "studio/panels/microscope/types.js";
import { findHead, likeliest, shortToken, stepName, trackOf } from "studio/state/run.js";
import type { Head, TrackInfo, Model, Run } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { percent } from "studio/ui/draw.js";
import { sizeText } from "studio/ui/moment-words.js";
import { type Box, Press, Text } from "studio/ui/stage.js";

const CHOICES = 3;

export function ModelLevel({ scene }: { scene: Scene }) {
  const { view } = useApp();
  const { model, run, width } = scene;
  const { boxes, links, height } = stackedBoxes(model, run, width);
  const step = Math.min(view.step, run.steps - 1);
  const head = findHead(run, view.head);
  return (
    <svg {...{ class: "hs-model", width, height, role: "group" }} aria-label={`The parts of ${model.name}`}>
      {links.map(({ path, label, x, y }) => (
        <>
          <path class="hs-link" d={path} />
          <Text x={x} y={y} kind="hs-soft hs-mono" text={label} />
        </>
      ))}
      {boxes.map((box) => {
        if (box.kind === "track")
          return <TrackBox {...{ box, scene, step, isChosen: box.track?.name === view.track }} />;
        if (box.kind === "head") return head && <HeadBox {...{ box, head, step }} />;
        if (box.kind === "part") return <Frame box={box} />;
        return (
          <Text
            {...{ x: box.x + box.width / 2, y: box.y + 18, anchor: "middle", room: box.width - 8 }}
            kind="hs-token-word"
          >
            {stepName(run, step)}
          </Text>
        );
      })}
    </svg>
  );
}

function Frame({ box: { kind, x, y, width, height, label, shape } }: { box: Stacked }) {
  const isNarrow = kind === "part"; // too narrow for a name and a shape side by side
  const room = width - 20;
  const size = isNarrow
    ? ({ x: x + 10, y: y + 32, anchor: "start", room } as const)
    : ({ x: x + width - 10, y: y + 17, anchor: "end", room: 0.45 * room } as const);
  return (
    <>
      <rect {...{ x, y, width, height, rx: 8 }} class={`hs-box hs-box-${kind}`} />
      <Text x={x + 10} y={y + 17} kind="hs-box-name" room={isNarrow ? room : 0.5 * room} text={label} />
      <Text {...size} kind="hs-soft hs-mono" text={shape} />
    </>
  );
}

/** A layer and direction: all units of h at this step, as small bars above and below zero. */
function TrackBox({ box, scene, step, isChosen }: { box: Stacked; scene: Scene; step: number; isChosen: boolean }) {
  const { name, units, outputs } = box.track as TrackInfo;
  const [x, width] = [box.x + 10, box.width - 20];
  const [zero, reach] = [box.y + (box.height + 22) / 2, (box.height - 30) / 2];
  const values = trackOf(scene.run, name).values.h.subarray(step * outputs, (step + 1) * outputs);
  const wide = width / outputs,
    bar = Math.max(0.5, Math.min(wide * 0.8, 12)).toFixed(2);
  const bars = (sign: number) =>
    Array.from(values, (value, k) =>
      value * sign > 0 ? `M${(x + k * wide).toFixed(2)} ${zero}h${bar}v${(-value * reach).toFixed(2)}h-${bar}z` : "",
    ).join("");
  return (
    <Press
      kind={isChosen ? "is-chosen" : ""}
      label={`${name}, ${units} units: open`}
      press={() => scene.go({ zoom: "layer", track: name })}
    >
      <Frame box={box} />
      <line x1={x} x2={x + width} y1={zero} y2={zero} class="hs-axis" />
      <path fill="var(--plus)" d={bars(1)} />
      <path fill="var(--minus)" d={bars(-1)} />
    </Press>
  );
}

/** The model's prediction at this step: its likeliest labels. */
function HeadBox({ box, head, step }: { box: Stacked; head: Head; step: number }) {
  const label = box.label.startsWith(head.name) ? box.label : `${box.label}: ${head.name}`;
  const [from, room] = [box.x + 96, box.width - 96 - 62];
  return (
    <>
      <Frame box={{ ...box, label }} />
      {likeliest(head, step, CHOICES).map(({ label: name, probability }, k) => {
        const y = box.y + 25 + k * 19;
        return (
          <>
            <rect
              {...{ x: from, y: y + 2, width: Math.max(1, probability * room), height: 11, rx: 2 }}
              fill="var(--accent)"
            />
            <Text x={box.x + 10} y={y + 12} kind="hs-choice" room={82} text={shortToken(name, 11)} />
            <Text x={box.x + box.width - 10} y={y + 12} kind="hs-soft hs-mono" anchor="end" room={48}>
              {percent(probability)}
            </Text>
          </>
        );
      })}
    </>
  );
}

export function modelRows({ model }: Scene): string[][] {
  return [["part", "shape"], ...model.parts.map(({ label, shape }) => [label, shape.join("×")])];
}

interface Stacked extends Box {
  kind: keyof typeof HEIGHT;
  label: string;
  shape: string;
  track?: TrackInfo;
}

type Link = { path: string; label: string; x: number; y: number };
type Part = Omit<Stacked, keyof Box>;

const HEIGHT = { token: 24, part: 40, track: 62, head: 86 };
const GAP = 26; // between rows
const [BESIDE, ABOVE] = [10, 6]; // between columns, and the parts of one

function stackedBoxes(model: Model, run: Run, width: number): { boxes: Stacked[]; links: Link[]; height: number } {
  const tall = (column: Part[]) => column.reduce((sum, { kind }) => sum + HEIGHT[kind] + ABOVE, -ABOVE);
  const rows = stackRows(model, run);
  const heights = rows.map((row) => Math.max(...row.map(tall)));
  const height = heights.reduce((sum, one) => sum + one + GAP, 4 - GAP);
  let bottom = height - 2;
  const placed = rows.map((row, r) => {
    const one = (width - BESIDE * (row.length - 1) - 4) / row.length;
    const columns = row.map((column, k) => {
      let y = bottom - (heights[r] - tall(column)) / 2 + ABOVE;
      return column.map((part): Stacked => {
        y -= HEIGHT[part.kind] + ABOVE;
        return { ...part, x: 2 + k * (one + BESIDE), y, width: one, height: HEIGHT[part.kind] };
      });
    });
    bottom -= heights[r] + GAP;
    return columns;
  });
  const links = placed.slice(1).map((upper, k) => comb(placed[k], upper, sizeBelow(model, upper[0][0])));
  return { boxes: placed.flat(2), links, height };
}

/** The rows from the bottom up: lists of columns, which are lists of parts from the bottom up. */
function stackRows({ parts, tracks, cell }: Model, run: Run): Part[][][] {
  const isTrack = ({ label }: Model["parts"][number]) => tracks.some(({ name }) => label === `${cell.label} ${name}`);
  const first = Math.max(0, parts.findIndex(isTrack));
  const inputs = parts
    .slice(0, first)
    .map(({ label, shape }): Part => ({ kind: "part", label, shape: shape.join("×") }));
  const words = [...new Set(inputs.map(({ label }) => label.split(" ")[0]))]; // parts with one, as of characters, are a column
  const layers = [...new Set(tracks.map(({ layer }) => layer))];
  const output = parts.slice(first).find((part) => !isTrack(part));
  const trackPart = (track: TrackInfo): Part => ({
    ...{ kind: "track", track, label: `${track.name} ${track.reverse ? "←" : "→"}` },
    shape: `${sizeText(track.inputSize)} → ${track.outputs}`,
  });
  return [
    [[{ kind: "token", label: "", shape: "" }]],
    ...(inputs.length ? [words.map((word) => inputs.filter(({ label }) => label.split(" ")[0] === word))] : []),
    ...layers.map((layer) => tracks.filter((track) => track.layer === layer).map((track) => [trackPart(track)])),
    ...(run.heads.length
      ? [[[{ kind: "head" as const, label: output?.label ?? "", shape: output?.shape.join("×") ?? "" }]]]
      : []),
  ];
}

/** Lines from all columns of a row to a bar, and from there to all columns of the row above. */
function comb(lower: Stacked[][], upper: Stacked[][], label: string): Link {
  const tops = lower.map((column) => column[column.length - 1]),
    bottoms = upper.map((column) => column[0]);
  const middle = ({ x, width }: Stacked) => x + width / 2;
  const floor = Math.max(...bottoms.map(({ y, height }) => y + height)),
    bar = floor + GAP / 2;
  const xs = [...tops, ...bottoms].map(middle);
  const up = tops.map((box) => `M${middle(box)} ${box.y}V${bar}`);
  const on = bottoms.map((box) => `M${middle(box)} ${bar}V${box.y + box.height + 2}m-4 6l4 -6l4 6`);
  const path = `${up.join("")}M${Math.min(...xs)} ${bar}H${Math.max(...xs)}${on.join("")}`;
  return { path, label, x: middle(bottoms[bottoms.length - 1]) + 10, y: bar + 11 };
}

/** The number of values that a part reads at each step. */
function sizeBelow({ tracks }: Model, { kind, track }: Stacked): string {
  if (track) return `1×${sizeText(track.inputSize)}`;
  if (kind !== "head") return "";
  const { layer, outputs } = tracks[tracks.length - 1];
  return `1×${outputs * tracks.filter((one) => one.layer === layer).length}`;
}
