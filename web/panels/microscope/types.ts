// Types shared by the microscope's modules; contains no code.

import type { Box } from "studio/ui/svg-parts.js";
import type { Model, Run, TrackInfo, View } from "studio/types.js";

export type Point = { x: number; y: number };
export type Label = { at: Point; anchor: "start" | "middle" | "end" };
/** named after the value that it carries */
export type Wire = { name: string; points: Point[] };

export interface Layout {
  width: number;
  height: number;
  boxes: Record<string, Box>; // gates by letter, states and parts of sums by name, and "x", where the vectors come in
  nodes: Record<string, Point>; // the cell's operations: keep write add tanh show
  wires: Wire[]; // that carry a number of this unit
  buses: Point[][]; // that carry whole vectors, x and h_prev
  labels: Record<string, Label>; // of the numbers between the operations
}

/** at once, swiftly, or with numbers that travel along the wires */
export type Pace = "jump" | "move" | "play";

/** The data from which a zoom level is drawn. The functions return current values. */
export interface Scene {
  model: Model;
  track: TrackInfo;
  width: number;
  run: () => Run;
  view: () => View;
  go: (patch: Partial<View>) => void;
  live: () => boolean; // whether the run is a stream in Python
  pause: () => number; // milliseconds until the earliest next step
  editor: (quantity: string) => ((from: Element) => void) | null; // null if nothing can be edited
}

export interface Level {
  root: Element;
  update: (view: View, pace: Pace) => void;
  leave: () => void;
  picture: () => SVGSVGElement;
  table: () => string[][];
}
