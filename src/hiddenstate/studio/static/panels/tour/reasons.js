// Why the tour is unavailable: nothing has been read yet, or a trace lacks values that the tour needs.

/** @typedef {import("studio/state/types.js").App} App */
/** @typedef {{title: string, says: string}} Reason */

/** @type {Reason} */
const UNREAD = {
  title: "Nothing has been read yet",
  says: "The tour follows the model's reading, step by step. It starts as soon as the model has something to read.",
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
  const needed = [...(model?.gates ?? []), "c", "h"];
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
  return session.plain ? LACKING : UNREAD;
}
