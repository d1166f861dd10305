// The selected layer, direction and units, and their names on the page.

/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */
/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/state/store.js").Store} Store */

/**
 * @param {Run} run
 * @param {string} name
 * @returns {Track} the first if none has that name
 */
export function trackOf(run, name) {
  return run.tracks.find(({ info }) => info.name === name) ?? run.tracks[0];
}

/**
 * The state that carries information from step to step: c for an LSTM, otherwise h.
 * @param {Track} track
 * @returns {string}
 */
export function memoryOf({ values }) {
  return "c" in values ? "c" : "h";
}

/**
 * The units to show in detail: the pinned ones, or the selected one if none are pinned.
 * @param {View} view
 * @returns {readonly number[]}
 */
export function shownUnits({ pinned, unit }) {
  return pinned.length > 0 ? pinned : [unit];
}

/**
 * @param {Store} store
 * @param {number} unit -1 means none, while nothing has been read
 */
export function togglePin(store, unit) {
  if (unit < 0) return;
  const { pinned } = store.get();
  if (pinned.includes(unit)) store.change({ pinned: pinned.filter((other) => other !== unit) }, `unpin unit ${unit}`);
  else store.change({ pinned: [...pinned, unit] }, `pin unit ${unit}`);
}

/**
 * @param {TrackInfo} info
 * @param {boolean} twoWays whether the layer has both directions
 * @returns {string} "Layer 1 forward"
 */
export function trackTitle({ layer, reverse }, twoWays) {
  if (!twoWays) return `Layer ${layer}`;
  return `Layer ${layer}, ${reverse ? "right to left" : "left to right"}`;
}

/**
 * A value of a run; NaN if there is none.
 * @param {Track} track
 * @param {string} quantity
 * @param {number} unit
 * @param {number} t
 * @returns {number}
 */
export function valueAt(track, quantity, unit, t) {
  const width = widthOf(track.info, quantity);
  return unit < width ? (track.values[quantity][t * width + unit] ?? NaN) : NaN;
}

/**
 * Returns how many values a quantity has at each step: H, or P for the hidden state of an LSTM with a projection.
 * @param {TrackInfo} info
 * @param {string} quantity
 * @returns {number}
 */
export function widthOf(info, quantity) {
  return quantity === "h" ? info.outputs : info.units;
}
