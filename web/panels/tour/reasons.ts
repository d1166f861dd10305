// Why the tour is unavailable: nothing has been read yet, the model is not an LSTM, or a trace lacks values that the
// tour needs.

import type { App } from "studio/state/types.js";

export type Reason = { title: string; says: string };

const UNREAD: Reason = {
  title: "Nothing has been read yet",
  says: "The tour follows the model's reading, step by step. It starts as soon as the model has something to read.",
};
const OTHER_CELL: Reason = {
  title: "Only with an LSTM",
  says: "The tour explains the gates and the cell state of an LSTM, which this model does not have. Open an LSTM.",
};
const LACKING: Reason = {
  title: "Not with this trace",
  says:
    "The tour needs i, f, g, o, c and h at every step, and this recorded trace does not have them all. " +
    "Open one that does, or a model.",
};

/** Returns whether a run has all values that the tour needs: a trace may have recorded fewer. */
export function canTour({ plain, model }: App["session"]): boolean {
  if (model?.cell.label !== "LSTM") return false;
  const needed = [...model.gates, ...model.cell.states];
  return Boolean(
    plain?.steps && plain.tracks.every(({ values }) => needed.every((name) => Number.isFinite(values[name]?.[0]))),
  );
}

/** Returns why the tour is unavailable; null if it is available. */
export function reasonAgainst(session: App["session"]): Reason | null {
  if (canTour(session)) return null;
  if (session.model && session.model.cell.label !== "LSTM") return OTHER_CELL;
  return session.plain ? LACKING : UNREAD;
}
