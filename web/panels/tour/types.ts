// Types shared by the tour's modules; contains no code.

import type { App } from "studio/state/types.js";
import type { Model, Run, View } from "studio/types.js";

/** The argument that a step receives: the current page, and storage that lasts as long as the step. */
export interface Now {
  app: App;
  model: Model;
  run: Run; // without edits
  view: View;
  memory: Record<string, any>;
}

export interface Step {
  title: string;
  panels: (now: Now) => string[]; // ids of its panels; empty if it needs none
  sets: (now: Now) => Partial<View>; // the changes to the view when it starts
  restores: (keyof View)[]; // the keys to restore when it ends
  says: (now: Now) => string[]; // paragraphs
  task: (now: Now) => string;
  work?: (now: Now, again: () => void) => HTMLElement; // a task in the card; `again` checks whether it is done
  status?: (now: Now) => string; // the progress
  watch?: (now: Now) => void; // records progress
  done: (now: Now) => boolean;
  learnt: (now: Now) => string;
}
