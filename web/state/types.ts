// Types of the arguments that every panel receives; contains no code.

import type { ReadonlySignal } from "@preact/signals";
import type { Corpus } from "studio/state/corpus.js";
import type { Question } from "studio/state/explained.js";
import type { Player } from "studio/state/player.js";
import type { Session } from "studio/state/session.js";
import type { Store } from "studio/state/store.js";

/** The arguments that each panel receives. */
export interface App {
  store: Store;
  session: Session;
  player: Player;
  host: typeof import("studio/state/host.js");
  corpus: Corpus;
  question: ReadonlySignal<Question>;
}
