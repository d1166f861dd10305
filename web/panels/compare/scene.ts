// What the compare page shows: two runs, their columns, and how far apart they are.

import { type Column, align } from "studio/panels/compare/align.js";
import { type Parting, comparable, distances, parting } from "studio/panels/compare/distance.js";
import { type Pair, counterpart, chosenPair } from "studio/panels/compare/pair.js";
import type { Session } from "studio/state/session.js";
import type { Track, View } from "studio/types.js";

/** How far two runs are apart in one track. */
export interface Strip {
  name: string; // of the track
  reverse: boolean;
  distance: Float32Array; // by column
  parting: Parting;
}

export interface Scene {
  pair: Pair;
  columns: Column[];
  a: Track | undefined;
  b: Track | undefined;
  comparable: boolean; // whether their units can be compared
  strips: Strip[];
  quantity: string; // of A
  other: string | null; // the quantity of B with the same letter or the same role; null if there is none
  state: string; // whose distance is shown: c if both have it and it is chosen, else h
  head: string;
}

/** @returns null until there are two runs */
export function createScene(session: Session, view: View): Scene | null {
  const pair = chosenPair(session, view);
  if (pair === null) return null;
  const { quantity, head } = view;
  const way = pair.a.run === pair.b.run || view.comparison === "edits" ? "position" : view.align;
  const columns = align(way, pair.a.run.tokens, pair.b.run.tokens);
  const track = (side: "a" | "b", name: string) => pair[side].run.tracks.find(({ info }) => info.name === name);
  const [a, b] = [track("a", view.track), track("b", view.track)];
  const other = counterpart(quantity, pair.a.model.cell, pair.b.model.cell);
  const state = quantity === "c" && other === "c" ? "c" : "h";
  const strips = pair.a.run.tracks.flatMap((one) => {
    const { name, reverse } = one.info;
    const two = track("b", name);
    if (!two || !comparable(one, two)) return [];
    const distance = distances(one, two, state, columns);
    return [{ name, reverse, distance, parting: parting(distance, reverse) }];
  });
  return {
    ...{ pair, columns, a, b, strips, quantity, other, state, head },
    comparable: quantity === other && comparable(a, b),
  };
}
