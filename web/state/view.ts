// Creates the initial view of the page, and fits views to a model and a run.

import { FIRST_VIEW } from "studio/facts.js";
import { meanChanges, memoryState, trackOf } from "studio/state/run.js";
import type { Boot, Model, Run, Track, View } from "studio/types.js";

export const plainView = ({ models }: Boot): View => ({ ...FIRST_VIEW, model: models[0]?.id ?? "" });

/** The initial view, from Python or from what the address says, which then sets everything except the input. */
export function firstView(boot: Boot, said: Partial<View>): View {
  const plain = plainView(boot);
  if (Object.keys(said).length === 0) return { ...plain, ...boot.view };
  return { ...plain, ...givenInput(boot), ...said };
}

/** The views that need no address: the default one, with and without the given input. */
export const unsaid = (boot: Boot): View[] => [plainView(boot), { ...plainView(boot), ...givenInput(boot) }];

function givenInput({ view: { text, model } }: Boot) {
  return { ...(text === undefined ? {} : { text }), ...(model === undefined ? {} : { model }) };
}

/** The changes that fit a view to a run: an existing step, track, unit and head. */
export function fitted(view: View, model: Model, run: Run): Partial<View> {
  const track = model.tracks.find(({ name }) => name === view.track) ?? top(model);
  const pinned = view.pinned.filter((unit) => unit < track.units);
  return {
    step: Math.max(0, Math.min(view.step, run.steps - 1)),
    track: track.name,
    unit: view.unit >= 0 && view.unit < track.units ? view.unit : restless(trackOf(run, track.name)),
    pinned: pinned.length === view.pinned.length ? view.pinned : pinned,
    head: run.heads.some(({ name }) => name === view.head) ? view.head : (run.heads[0]?.name ?? ""),
    quantity: model.quantities.includes(view.quantity) ? view.quantity : model.cell.memory,
    gate: model.gates.includes(view.gate) ? view.gate : model.gates[0],
  };
}

/** The unit whose memory changes most, as the first selection. */
function restless(track: Track): number {
  let [best, most] = [0, -1];
  meanChanges(track, memoryState(track)).forEach((change, unit) => {
    if (change > most) [best, most] = [unit, change];
  });
  return best;
}

/** The top layer's forward direction, which is closest to the model's prediction. */
function top(model: Model) {
  const forward = model.tracks.filter(({ reverse }) => !reverse);
  return forward.at(-1) ?? model.tracks[0];
}
