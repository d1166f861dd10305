// The layout of a model's parts: the input at the bottom, layers above it, the prediction on top.

import type { Model, Run, TrackInfo } from "studio/types.js";
import { sizeText } from "studio/ui/moment-words.js";

/** one part in its place */
export interface Stacked {
  kind: "token" | "part" | "track" | "head";
  x: number;
  y: number;
  width: number;
  height: number;
  label: string;
  shape: string;
  track: TrackInfo | null;
}

/** the data from one row to the next */
type Link = { path: string; label: string; x: number; y: number };
type Part = Pick<Stacked, "kind" | "label" | "shape" | "track">;

const HEIGHT = { token: 24, part: 40, track: 62, head: 86 };
const GAP = 26; // between rows
const BESIDE = 10;

export function stackedBoxes(
  model: Model,
  run: Run,
  width: number,
): { boxes: Stacked[]; links: Link[]; height: number } {
  const rows = stackRows(model, run);
  const heights = rows.map((row) => Math.max(...row.map(columnHeight)));
  const height = heights.reduce((sum, one) => sum + one, 0) + GAP * (rows.length - 1) + 4;
  let bottom = height - 2;
  const placed = rows.map((row, k) => {
    const columns = placedIn(row, bottom - heights[k], heights[k], width);
    bottom -= heights[k] + GAP;
    return columns;
  });
  const links = placed.slice(1).map((upper, k) => comb(placed[k], upper, sizeBelow(model, upper[0][0])));
  return { boxes: placed.flat(2), links, height };
}

/**
 * The rows from the bottom up. Each row is a list of columns, and each column is a list of parts from the bottom up.
 */
function stackRows(model: Model, run: Run): Part[][][] {
  const first = model.parts.findIndex(({ label }) => isTrack(model, label));
  const inputs = first < 0 ? [] : model.parts.slice(0, first);
  const layers = [...new Set(model.tracks.map(({ layer }) => layer))];
  const outputs = model.parts.slice(first < 0 ? 0 : first).filter(({ label }) => !isTrack(model, label));
  return [
    [[part("token", "", "")]],
    ...(inputs.length ? [grouped(inputs)] : []),
    ...layers.map((layer) => model.tracks.filter((track) => track.layer === layer).map((track) => [trackPart(track)])),
    ...(run.heads.length ? [[[part("head", outputs[0]?.label ?? "", outputs[0]?.shape.join("×") ?? "")]]] : []),
  ];
}

const isTrack = (model: Model, label: string) =>
  model.tracks.some(({ name }) => label === `${model.cell.label} ${name}`);

function part(kind: Part["kind"], label: string, shape: string, track: TrackInfo | null = null): Part {
  return { kind, label, shape, track };
}

function trackPart(track: TrackInfo) {
  return part(
    "track",
    `${track.name} ${track.reverse ? "←" : "→"}`,
    `${sizeText(track.inputSize)} → ${track.outputs}`,
    track,
  );
}

/**
 * Puts parts whose names begin with the same word in one column, such as the embedding of characters and the speller.
 */
function grouped(inputs: { label: string; shape: number[] }[]): Part[][] {
  const words = [...new Set(inputs.map(({ label }) => label.split(" ")[0]))];
  return words.map((word) =>
    inputs
      .filter(({ label }) => label.split(" ")[0] === word)
      .map(({ label, shape }) => part("part", label, shape.join("×"))),
  );
}

function columnHeight(column: Part[]) {
  return column.reduce((sum, { kind }) => sum + HEIGHT[kind], 0) + 6 * (column.length - 1);
}

function placedIn(row: Part[][], top: number, height: number, width: number): Stacked[][] {
  const one = (width - BESIDE * (row.length - 1) - 4) / row.length;
  return row.map((column, k) => {
    let y = top + (height + columnHeight(column)) / 2;
    return column.map((each) => {
      y -= HEIGHT[each.kind];
      const box = { ...each, x: 2 + k * (one + BESIDE), y, width: one, height: HEIGHT[each.kind] };
      y -= 6;
      return box;
    });
  });
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
