// The sandbox's settings, and their short form in the page's address: "4,3,1,0,1,0,5,1,0".

import type { Sizes } from "studio/panels/structure/sizes.js";

export type Setup = Sizes & { T: number; N: number; batchFirst: boolean };
/** the settings; the cell is that of the model shown */
type Numbers = Omit<Setup, "cell">;

export const LESSON: Numbers = {
  inputSize: 4,
  hiddenSize: 3,
  numLayers: 1,
  bidirectional: false,
  bias: true,
  projSize: 0,
  T: 5,
  N: 1,
  batchFirst: false,
};

/** @param text "" for the lesson's sizes */
export function readSetup(text: string): Numbers {
  if (text === "") return LESSON;
  const [inputSize, hiddenSize, numLayers, bidirectional, bias, projSize, T, N, batchFirst] = text
    .split(",")
    .map(Number);
  return {
    inputSize,
    hiddenSize,
    numLayers,
    bidirectional: bidirectional > 0,
    bias: bias > 0,
    projSize,
    T,
    N,
    batchFirst: batchFirst > 0,
  };
}

export function writeSetup({
  inputSize,
  hiddenSize,
  numLayers,
  bidirectional,
  bias,
  projSize,
  T,
  N,
  batchFirst,
}: Numbers): string {
  return [inputSize, hiddenSize, numLayers, bidirectional, bias, projSize, T, N, batchFirst].map(Number).join();
}
