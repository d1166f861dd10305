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

const KEYS = Object.keys(LESSON) as (keyof Numbers)[];

/** @param text "" for the lesson's sizes */
export function readSetup(text: string): Numbers {
  if (text === "") return LESSON;
  const values = text.split(",").map(Number);
  const settings = KEYS.map((key, k) => [key, typeof LESSON[key] === "boolean" ? values[k] > 0 : values[k]]);
  return Object.fromEntries(settings) as Numbers;
}

export function writeSetup(setup: Numbers): string {
  return KEYS.map((key) => Number(setup[key])).join();
}
