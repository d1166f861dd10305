// Types shared by the tour's modules; contains no code.

import type { ComponentChild } from "preact";
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
  panels?: (now: Now) => string[]; // ids of its panels, if it needs some
  sets: (now: Now) => Partial<View>; // the changes to the view when it starts
  restores?: (keyof View)[]; // the keys to restore when it ends
  says: (now: Now) => string[]; // paragraphs
  task: (now: Now) => string;
  work?: (now: Now, again: () => void) => ComponentChild; // a task in the card; `again` checks whether it is done
  status?: (now: Now) => string; // the progress
  watch?: (now: Now) => void; // records progress
  done: (now: Now) => boolean;
  learnt: (now: Now) => string;
}

/** What the card shows. */
export interface Scene {
  entered: number; // when it was entered, which tells visits to a step apart
  index: number; // of the step; the number of steps at the end and if there is no tour
  isRefused: boolean; // whether there is no tour
  count: string; // which step it is
  title: string;
  work: ComponentChild; // a task in the card
  hasPanel: boolean; // whether there is a panel to show
  texts: Texts;
}

interface Texts {
  says: ComponentChild[]; // paragraphs, as text with `code` and *emphasis*, or as elements
  task: string; // "" if there is nothing to do
  status: string; // the progress
  learnt: string; // "" until the step is done
}
