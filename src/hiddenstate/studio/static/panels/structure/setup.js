// The sandbox's settings, and their short form in the page's address: "4,3,1,0,1,0,5,1,0".

/** @typedef {import("studio/panels/structure/sizes.js").Sizes} Sizes */
/** @typedef {Sizes & {T: number, N: number, batchFirst: boolean}} Setup */
/** @typedef {Omit<Setup, "cell">} Numbers the settings; the cell is that of the model shown */

/** @type {Numbers} */
export const LESSON = {
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

/**
 * @param {string} text "" for the lesson's sizes
 * @returns {Numbers}
 */
export function readSetup(text) {
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

/**
 * @param {Numbers} setup
 * @returns {string}
 */
export function writeSetup({ inputSize, hiddenSize, numLayers, bidirectional, bias, projSize, T, N, batchFirst }) {
  return [inputSize, hiddenSize, numLayers, bidirectional, bias, projSize, T, N, batchFirst].map(Number).join();
}
