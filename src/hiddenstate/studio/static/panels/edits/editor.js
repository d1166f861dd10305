// The small editor that opens at a value. It shows the change, its extent, and an immediate preview of its effect.

import { SCOPES, draftAt, rangeOf, spotOf, valueInRun } from "studio/panels/edits/draft.js";
import { placeAt } from "studio/panels/edits/place.js";
import { placeOf, sentenceOf } from "studio/panels/edits/words.js";
import { differenceOf } from "studio/state/difference.js";
import { partsOf } from "studio/state/edits.js";
import { shownToken, stepName } from "studio/state/tokens.js";
import { element, format } from "studio/ui/draw.js";
import { button, choice, field } from "studio/ui/fields.js";

/** @typedef {import("studio/types.js").Edit} Edit */
/** @typedef {import("studio/types.js").Model} Model */
/** @typedef {import("studio/types.js").Run} Run */
/** @typedef {import("studio/state/types.js").App} App */
/** @typedef {import("studio/panels/edits/draft.js").Spot} Spot */

/**
 * The edit in progress: its index in the list (the list's length for a new one), and the original list.
 * @typedef {object} Work
 * @property {Spot} spot
 * @property {number} index
 * @property {readonly Edit[]} base
 * @property {Edit} draft
 */

/**
 * Creates the editor, a single element that is opened and closed as needed.
 * @param {App} app
 */
export function createEditor(app) {
  const root = element("div", { class: "edit-box", role: "dialog", "aria-label": "Change a value", tabindex: "-1" });
  root.hidden = true;
  /** @type {Work | null} */
  let work = null;
  /** @type {HTMLElement | null} */
  let opener = null;
  let outcome = element("p", { class: "edit-outcome", "aria-live": "polite" });

  /** @param {Partial<Edit>} patch */
  const change = (patch) => {
    if (!work) return;
    work = { ...work, draft: Object.freeze({ ...work.draft, ...patch }) };
    app.store.set({ edits: editsWith(work) });
  };
  const close = () => {
    work = null;
    root.hidden = true;
    opener?.focus({ preventScroll: true });
  };
  const cancel = () => {
    if (!work) return;
    app.store.set({ edits: work.base });
    close();
  };
  const apply = () => {
    const { model, run } = app.session;
    if (!work || !model || !run) return;
    app.store.set({ edits: work.base }); // the undo step starts when the editor opens
    app.store.change({ edits: editsWith(work) }, sentenceOf(work.draft, model, run.tokens));
    close();
  };
  /** @param {Model} model @param {Run} run */
  const fill = (model, run) => {
    if (!work) return;
    outcome = element("p", { class: "edit-outcome", "aria-live": "polite" });
    root.replaceChildren(
      heading(work, model, run, cancel),
      kinds(work, change, () => fill(model, run)),
      slider(work, change),
      extent(work, model, change),
      outcome,
      element("div", { class: "edit-actions" }, [
        button("Apply", apply, { class: "primary" }),
        button("Cancel", cancel),
      ]),
    );
  };
  /** @param {Omit<Work, "base">} what @param {DOMRect} at */
  const show = (what, at) => {
    const { model, run } = app.session;
    if (!model || !run) return;
    if (work) app.store.set({ edits: work.base });
    if (!root.contains(document.activeElement)) opener = /** @type {HTMLElement | null} */ (document.activeElement);
    work = { ...what, base: app.store.get().edits };
    fill(model, run);
    root.hidden = false;
    placeAt(root, at);
    change({});
    root.querySelector("input")?.focus({ preventScroll: true });
  };

  app.session.on("run", () => work && (outcome.textContent = outcomeOf(app, work)));
  app.store.subscribe(["edits", "page", "model", "text"], (view) => {
    if (work && (view.page === "structure" || !same(view.edits, editsWith(work)))) close();
  });
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // here the arrow keys move the slider
    if (event.key === "Escape") cancel();
    if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) apply();
  });
  return {
    root,
    /** @param {Spot} spot @param {DOMRect} at */
    open: (spot, at) => show({ spot, draft: draftAt(spot), index: app.store.get().edits.length }, at),
    /** @param {number} index @param {DOMRect} at */
    change: (index, at) => {
      const draft = app.store.get().edits[index];
      if (draft && app.session.plain) show({ spot: spotOf(draft, app.session.plain), draft, index }, at);
    },
  };
}

/**
 * The list of edits with the draft in its place.
 * @param {Work} work
 * @returns {Edit[]}
 */
function editsWith({ base, draft, index }) {
  return [...base.slice(0, index), draft, ...base.slice(index + 1)];
}

/** @param {readonly Edit[]} a @param {readonly Edit[]} b */
function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * @param {Work} work
 * @param {Model} model
 * @param {Run} run
 * @param {() => void} cancel
 */
function heading({ spot }, model, run, cancel) {
  return element("header", {}, [
    element("h3", {}, [element("code", { text: spot.place }), ` ${placeOf(spot.place, model)}`]),
    element("p", {
      class: "edit-where",
      text: `unit ${spot.unit}, ${stepName(run, spot.t)}: now ${format(spot.value)}`,
    }),
    button("×", cancel, { class: "edit-close", "aria-label": "Close without changing anything" }),
  ]);
}

/**
 * @param {Work} work
 * @param {(patch: Partial<Edit>) => void} change
 * @param {() => void} again
 */
function kinds({ draft, spot }, change, again) {
  const options = { set: "set to", scale: "multiply by", add: "add" };
  return choice("Effect", options, draft.kind, (kind) => {
    change({ kind, value: rangeOf(spot.place, kind, spot.value).begin });
    again();
  });
}

/**
 * @param {Work} work
 * @param {(patch: Partial<Edit>) => void} change
 */
function slider({ draft, spot }, change) {
  const { low, high } = rangeOf(spot.place, draft.kind, spot.value);
  return field({ label: "value", low, high, value: draft.value }, (value) => change({ value }));
}

/**
 * @param {Work} work
 * @param {Model} model
 * @param {(patch: Partial<Edit>) => void} change
 */
function extent({ draft, spot }, model, change) {
  const units = draft.unit ?? [spot.unit];
  const steps = draft.t ?? [spot.t];
  const explained = element("p", { class: "edit-scope", text: SCOPES[draft.scope] });
  const several = {
    unit: units.length > 1 ? "these units" : `unit ${units[0]}`,
    t: steps.length > 1 ? "these steps" : `step ${steps[0]}`,
  };
  return element("div", { class: "edit-extent" }, [
    choice("Units", { one: several.unit, all: "all units" }, draft.unit ? "one" : "all", (which) =>
      change({ unit: which === "one" ? units : null }),
    ),
    choice("Steps", { one: several.t, all: `all ${model.unit}s` }, draft.t ? "one" : "all", (which) =>
      change({ t: which === "one" ? steps : null }),
    ),
    choice("Scope", { write: "write", readout: "readout" }, draft.scope, (scope) => {
      explained.textContent = SCOPES[scope];
      change({ scope });
    }),
    explained,
  ]);
}

/**
 * Describes the effect of the edit in one line.
 * @param {App} app
 * @param {Work} work
 * @returns {string}
 */
function outcomeOf({ session, store }, { spot, base, index }) {
  const { run, plain } = session;
  if (!run || !plain || run.steps !== plain.steps) return "";
  const { track, quantity } = partsOf(spot.place);
  const now = valueInRun(run, track, quantity, spot.unit, spot.t);
  const others = index < base.length ? base.length > 1 : base.length > 0;
  const words = differenceOf(plain, run, store.get().head).words.filter((word) => word.changed);
  const listed = words
    .slice(0, 3)
    .map(({ token, before, after }) => `“${shownToken(token)}” ${labelOf(before)} → ${labelOf(after)}`);
  const said = listed.length
    ? `${listed.join(", ")}${words.length > 3 ? ` and ${words.length - 3} more` : ""}`
    : silent(plain);
  return `${quantity} is ${format(now)} here. ${others ? "With the other edits: " : ""}${said}.`;
}

/**
 * @param {Run} plain
 * @returns {string}
 */
function silent(plain) {
  return plain.heads.length ? "no prediction changes" : "the output changes as shown in the Edits panel";
}

/** @param {import("studio/types.js").Choice | null} choice */
function labelOf(choice) {
  return shownToken(choice?.label ?? "");
}
