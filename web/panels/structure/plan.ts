// The layout of a network unrolled over its steps: time to the right, layers upwards.

import { type Sizes, directions, outputSize } from "studio/panels/structure/sizes.js";
import { tracksOf } from "studio/runtime/lstm.js";
import type { TrackInfo } from "studio/types.js";
import { sizeText } from "studio/ui/moment-words.js";

export const BOX = { width: 78, height: 46 };
const GAP = 78; // distance between two boxes of a row: room for the label of an arrow
const MARGIN = 156; // space beside the outer boxes: room for an arrow and the name of a state
const SHIFT = 30; // offset of the two directions to the left and right of their step's middle
const ROW = 80; // distance from the forward row of a layer to its reverse row
const RISE = 44; // distance between layers
const FORK = 28; // space above a layer with two directions, and half of it below
const HEAD = 74; // space above the topmost box
const FOOT = 80; // space below the lowest box
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

/** `words`: one per step; `part`: the part to draw */
export function unroll(
  sizes: Sizes,
  words: readonly string[],
  part: Partial<Pick<Plan, "first" | "rows" | "steps" | "layers">>,
): Plan {
  const { first = 0, rows = 1, steps = words.length, layers = sizes.numLayers } = part;
  const shift = sizes.bidirectional ? SHIFT : 0;
  const longest = Math.max(...words.map((word) => [...word].length)) * LETTER + 16;
  const column = Math.max(BOX.width + GAP + (shift ? 26 : 0), longest);
  const level = BOX.height + RISE + (shift ? ROW + 2 * FORK : 0);
  const height = FOOT + level * sizes.numLayers - RISE + HEAD;
  const stepX = (k: number) => MARGIN + BOX.width / 2 + shift + k * column;
  const box = (k: number, { layer, reverse }: Pick<TrackInfo, "layer" | "reverse">) => ({
    x: stepX(k) + (reverse ? shift : -shift),
    y: height - FOOT - (shift ? FORK / 2 : 0) - BOX.height / 2 - layer * level - (reverse ? ROW : 0),
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
