// Types shared by the modules of the compare page; contains no code.

import type { Column } from "studio/panels/compare/align.js";
import type { Pair } from "studio/panels/compare/pair.js";
import type { Strip } from "studio/panels/compare/ribbon.js";
import type { Track } from "studio/types.js";

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
  width: number; // the available width
}
