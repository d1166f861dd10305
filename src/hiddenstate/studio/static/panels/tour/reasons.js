// Why the tour is unavailable: nothing has been read yet, the model is not an LSTM, or a trace lacks values that the
// tour needs.

/** @typedef {import("studio/state/types.js").App} App */
/** @typedef {{title: string, says: string}} Reason */

/** @type {Reason} */
const UNREAD = {
  title: "Nothing has been read yet",
  says: "The tour follows the model's reading, step by step. It starts as soon as the model has something to read.",
};
/** @type {Reason} */
const OTHER_CELL = {
  title: "Only with an LSTM",
  says: "The tour explains the gates and the cell state of an LSTM, which this model does not have. Open an LSTM.",
};
/** @type {Reason} */
const LACKING = {
  title: "Not with this trace",
  says:
    "The tour needs i, f, g, o, c and h at every step, and this recorded trace does not have them all. " +
    "Open one that does, or a model.",
};

/**
 * Returns whether a run has all values that the tour needs: a trace may have recorded fewer.
 * @param {App["session"]} session
 * @returns {boolean}
 */
export function canTour({ plain, model }) {
  if (model?.cell.label !== "LSTM") return false;
  const needed = [...model.gates, ...model.cell.states];
  return Boolean(
    plain?.steps && plain.tracks.every(({ values }) => needed.every((name) => Number.isFinite(values[name]?.[0]))),
  );
}

/**
 * Returns why the tour is unavailable; null if it is available.
 * @param {App["session"]} session
 * @returns {Reason | null}
 */
export function reasonAgainst(session) {
  if (canTour(session)) return null;
  if (session.model && session.model.cell.label !== "LSTM") return OTHER_CELL;
  return session.plain ? LACKING : UNREAD;
}
