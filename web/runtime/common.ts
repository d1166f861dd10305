// Common parts of all kinds of models.

import { refuse } from "studio/runtime/errors.js";
import type { CellKind } from "studio/runtime/kinds.js";
import type { Lstm } from "studio/runtime/lstm.js";
import { dotProduct } from "studio/runtime/states.js";
import type { BundleHead, Model, Run, Track, TrackInfo } from "studio/types.js";

type Common = Omit<Model, "kind" | "unit" | "parts" | "tokenise" | "run" | "stream" | "subject">;

/** @param lstm the LSTM to show */
export function common(head: BundleHead, lstm: Lstm): Common {
  const number = (name: string) => {
    const names = lstm.tracks.map((track) => track.name);
    if (!names.includes(name)) refuse(`layer and direction ${name}`, names.join(" "), "Choose one.");
    return names.indexOf(name);
  };
  return {
    ...named(head, lstm.kind),
    tracks: lstm.tracks,
    hasWeights: true,
    runNumbers: () => refuse("numbers", "text", "Type a sentence."),
    weights: (track) => lstm.cells[number(track)].weights,
    dotProduct: (run, track, gate, unit, t) =>
      dotProduct(run.tracks[number(track)], lstm.cells[number(track)], gate, unit, t),
    given: null,
  };
}

export function named({ name, meanings }: BundleHead, cell: CellKind) {
  const { gates, states } = cell;
  return { name, cell, gates, quantities: [...new Set([...gates, ...states])], meanings };
}

/** A run without predictions. */
export const unlabelled = (tokens: string[], tracks: Track[]): Omit<Run, "edits"> => ({
  ...{ tokens, known: tokens.map(() => true), steps: tokens.length, tracks, heads: [], surprise: null },
});

/** In place of what reads words, in a model that reads numbers. */
export const noText = () => refuse("a text", "numbers", "It has no vocabulary: give it rows of numbers.");

/** The parts of a recurrent layer, one for each layer and direction; `before`: a word before the cell's name. */
export const layerParts = (tracks: readonly TrackInfo[], { label, gates }: CellKind, before: string = "") =>
  tracks.map(({ name, units, inputSize }) => {
    return { label: `${before}${label} ${name}`, shape: [gates.length * units, inputSize] };
  });
