// Common parts of all kinds of models.

import { StudioError } from "studio/runtime/errors.js";
import { dotProduct } from "studio/runtime/states.js";

/** @typedef {import("studio/types.js").BundleHead} BundleHead */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/runtime/lstm.js").Lstm} Lstm */
/** @typedef {Omit<Model, "kind" | "unit" | "parts" | "tokenise" | "run" | "stream" | "subject">} Common */

/**
 * @param {BundleHead} head
 * @param {Lstm} lstm the LSTM to show
 * @returns {Common}
 */
export function common(head, lstm) {
  const { gates } = head;
  const number = (/** @type {string} */ track) => trackNumber(lstm.tracks, track);
  return {
    ...named(head),
    tracks: lstm.tracks,
    hasWeights: true,
    runNumbers: () => refuse("numbers", "text", "Type a sentence."),
    weights: (track) => lstm.cells[number(track)].weights,
    dotProduct: (run, track, gate, unit, t) =>
      dotProduct(run.tracks[number(track)], lstm.cells[number(track)].weights, gates, gate, unit, t),
    given: null,
  };
}

/**
 * @param {BundleHead} head
 */
export function named(head) {
  const { name, gates, states, meanings, card } = head;
  return { name, gates, quantities: [...gates, ...states], meanings, card };
}

/**
 * @param {readonly {name: string}[]} tracks
 * @param {string} name
 * @returns {number}
 */
export function trackNumber(tracks, name) {
  const number = tracks.findIndex((track) => track.name === name);
  if (number < 0) refuse(`layer and direction ${name}`, tracks.map((track) => track.name).join(" "), "Choose one.");
  return number;
}

/**
 * @param {string} got
 * @param {string} expected
 * @param {string} advice
 * @returns {never}
 */
export function refuse(got, expected, advice) {
  throw new StudioError(got, expected, advice);
}

/**
 * The parts of an LSTM, one for each layer and direction.
 * @param {Lstm} lstm
 * @param {string} label
 * @returns {{label: string, shape: number[]}[]}
 */
export function lstmParts(lstm, label = "LSTM") {
  return lstm.tracks.map(({ name, units, inputSize }) => {
    return { label: `${label} ${name}`, shape: [4 * units, inputSize] };
  });
}
