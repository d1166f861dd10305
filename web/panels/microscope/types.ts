// Types that the levels of the microscope share; contains no code.

import type { Model, Run, Track, TrackInfo, View } from "studio/types.js";
import type { Box } from "studio/ui/stage.js";

export type Point = [x: number, y: number];
export type Label = [x: number, y: number, anchor: "start" | "middle" | "end"];
/** the values that an operation reads, and the one that it gives */
export type Operation = { symbol: string; reads: string[]; gives: string };
export type Numbers = Record<string, number>;

export interface Layout {
  height: number;
  boxes: Record<string, Box>; // gates by letter, states and parts of sums by name, and "x", where the vectors come in
  nodes: Record<string, Point>; // the cell's operations: keep write add tanh show
  wires: { name: string; points: Point[] }[]; // that carry a number of this unit
  buses: Point[][]; // that carry whole vectors, x and h_prev
  labels: Record<string, Label>; // of the numbers between the operations
}

/** What a zoom level shows. */
export interface Scene {
  model: Model;
  run: Run;
  track: Track;
  info: TrackInfo;
  width: number;
  go: (patch: Partial<View>) => void;
  edit: ((quantity: string, from: Element) => void) | null; // opens the editor; null if nothing can be edited
}
