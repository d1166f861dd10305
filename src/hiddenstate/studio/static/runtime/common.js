// Common parts of all kinds of models.

import { StudioError } from "studio/runtime/errors.js";
import { dotProduct } from "studio/runtime/states.js";

/** @typedef {import("studio/types.js").BundleHead} BundleHead */
/** @typedef {import("studio/types.js").CellKind} CellKind */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/runtime/lstm.js").Lstm} Lstm */
/** @typedef {Omit<Model, "kind" | "unit" | "parts" | "tokenise" | "run" | "stream" | "subject">} Common */

/**
 * @param {BundleHead} head
 * @param {Lstm} lstm the LSTM to show
 * @returns {Common}
 */
export function common(head, lstm) {
  const number = (/** @type {string} */ track) => trackNumber(lstm.tracks, track);
  return {
    ...named(head, lstm.kind),
    tracks: lstm.tracks,
    hasWeights: true,
    runNumbers: () => refuse("numbers", "text", "Type a sentence."),
    weights: (track) => lstm.cells[number(track)].weights,
    dotProduct: (run, track, gate, unit, t) =>
      dotProduct(run.tracks[number(track)], lstm.cells[number(track)].weights, lstm.kind, gate, unit, t),
    given: null,
  };
}

/**
 * @param {BundleHead} head
 * @param {CellKind} cell
 */
export function named({ name, meanings, card }, cell) {
  const { gates, states } = cell;
  return { name, cell, gates, quantities: [...new Set([...gates, ...states])], meanings, card };
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
 * The parts of a recurrent layer, one for each layer and direction.
 * @param {readonly TrackInfo[]} tracks
 * @param {CellKind} kind
 * @param {string} [before] a word before the cell's name
 * @returns {{label: string, shape: number[]}[]}
 */
export function layerParts(tracks, { label, gates }, before = "") {
  return tracks.map(({ name, units, inputSize }) => {
    return { label: `${before}${label} ${name}`, shape: [gates.length * units, inputSize] };
  });
}
