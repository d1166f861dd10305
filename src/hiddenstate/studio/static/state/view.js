// Creates the initial view of the page, and fits views to a model and a run.

import { memoryOf, trackOf } from "studio/state/units.js";

/** @typedef {import("studio/types.js").Boot} Boot */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/types.js").Track} Track */
/** @typedef {import("studio/types.js").View} View */

/**
 * The default initial view.
 * @param {Boot} boot
 * @returns {View}
 */
export function plainView({ models }) {
  return {
    page: "read",
    model: models[0]?.id ?? "",
    text: "",
    otherModel: "",
    otherText: "",
    comparison: "sentences",
    align: "words",
    step: 0,
    track: "",
    quantity: "c",
    unit: -1,
    pinned: [],
    sort: "index",
    head: "",
    zoom: "unit",
    gate: "f",
    edits: [],
    tour: -1,
    sandbox: "",
    rows: "step",
    filter: "",
    label: "",
    measure: "auto",
    memory: "",
    writer: -1,
    method: "occlusion",
    players: "words",
    query: "",
    unitRows: "-held_out",
    unitFilter: "",
    theme: "auto",
  };
}

/**
 * The initial view, either from Python or from the address, which then sets everything except the input.
 * @param {Boot} boot
 * @param {Partial<View>} said by the address
 * @returns {View}
 */
export function firstView(boot, said) {
  const plain = plainView(boot);
  if (Object.keys(said).length === 0) return { ...plain, ...boot.view };
  return { ...plain, ...readOf(boot), ...said };
}

/**
 * The views that need no address: the default one, with and without the given input.
 * @param {Boot} boot
 * @returns {View[]}
 */
export function unsaid(boot) {
  return [plainView(boot), { ...plainView(boot), ...readOf(boot) }];
}

/** @param {Boot} boot */
function readOf({ view: { text, model } }) {
  return { ...(text === undefined ? {} : { text }), ...(model === undefined ? {} : { model }) };
}

/**
 * The changes that fit a view to a run: an existing step, track, unit and head.
 * @param {View} view
 * @param {Model} model
 * @param {Run} run
 * @returns {Partial<View>}
 */
export function fitted(view, model, run) {
  const track = model.tracks.find(({ name }) => name === view.track) ?? top(model);
  const pinned = view.pinned.filter((unit) => unit < track.units);
  return {
    step: Math.max(0, Math.min(view.step, run.steps - 1)),
    track: track.name,
    unit: view.unit >= 0 && view.unit < track.units ? view.unit : restless(trackOf(run, track.name), run.steps),
    pinned: pinned.length === view.pinned.length ? view.pinned : pinned,
    head: run.heads.some(({ name }) => name === view.head) ? view.head : (run.heads[0]?.name ?? ""),
    quantity: model.quantities.includes(view.quantity) ? view.quantity : model.cell.memory,
    gate: model.gates.includes(view.gate) ? view.gate : model.gates[0],
  };
}

/**
 * The unit whose memory changes most, as the first selection.
 * @param {Track} track
 * @param {number} T
 * @returns {number}
 */
function restless(track, T) {
  const H = track.info.units;
  const memory = track.values[memoryOf(track)];
  let [best, most] = [0, -1];
  for (let unit = 0; unit < H; unit += 1) {
    let moved = 0;
    for (let t = 1; t < T; t += 1) moved += Math.abs(memory[t * H + unit] - memory[(t - 1) * H + unit]);
    if (moved > most) [best, most] = [unit, moved];
  }
  return best;
}

/**
 * The top layer's forward direction, which is closest to the model's prediction.
 * @param {Model} model
 */
function top(model) {
  const forward = model.tracks.filter(({ reverse }) => !reverse);
  return forward.at(-1) ?? model.tracks[0];
}
