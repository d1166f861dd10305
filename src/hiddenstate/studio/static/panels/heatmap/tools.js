// The heat map's controls: the value to show, the sort order, and the pin.

import { headOf } from "studio/state/predictions.js";
import { togglePin } from "studio/state/units.js";
import { chooser, iconButton, segments } from "studio/ui/controls.js";
import { element, set } from "studio/ui/draw.js";

/** @typedef {import("studio/state/types.js").App} App */

const MOST_TAGS = 200; // a vocabulary would be too long for a list

/**
 * @param {App} app
 * @returns {HTMLElement[]}
 */
export function heatTools({ store, session }) {
  const quantities = element("div");
  const sorts = chooser("Sort by", (sort) => store.set({ sort }));
  /** @type {(quantity: string) => void} */
  let show = () => {};
  session.on("model", () => {
    const { model } = session;
    if (model === null) return;
    const choices = model.quantities.map((value) => ({
      value,
      text: value,
      title: `${value}: ${model.meanings[value]}`,
    }));
    const made = segments("Value to show", choices, (quantity) => store.set({ quantity }));
    show = made.show;
    quantities.replaceChildren(made.root);
    show(store.get().quantity);
  });
  store.subscribe(["quantity"], ({ quantity }) => show(quantity));
  const fill = () => sorts.fill(sortChoices(session.run, store.get()), store.get().sort);
  session.on("run", fill);
  store.subscribe(["head", "sort"], fill);
  return [quantities, sorts.root, pinButton(store)];
}

/** @param {App["store"]} store */
function pinButton(store) {
  const button = iconButton("pin", "Pin this unit (P)", () => togglePin(store, store.get().unit));
  const show = () => {
    const { pinned, unit } = store.get();
    const is = pinned.includes(unit);
    set(button, "aria-pressed", String(is));
    button.title = `${is ? "Unpin" : "Pin"} unit ${unit} (P)`;
    set(button, "aria-label", `Pin unit ${unit} (P)`);
  };
  store.subscribe(["pinned", "unit"], show);
  show();
  return button;
}

/**
 * @param {App["session"]["run"]} run
 * @param {import("studio/types.js").View} view
 */
function sortChoices(run, { head: name, sort }) {
  const head = run && headOf(run, name);
  const tags =
    head && head.labels.length < MOST_TAGS ? [...new Set(Array.from(head.chosen, (k) => head.labels[k]))].sort() : [];
  if (sort.startsWith("tag:") && !tags.includes(sort.slice(4))) tags.push(sort.slice(4));
  const plain = [
    { value: "index", text: "index" },
    { value: "change", text: "change" },
    { value: "cluster", text: "likeness" },
  ];
  const groups = [{ label: "", options: plain }];
  if (tags.length > 0)
    groups.push({ label: "correlation with", options: tags.map((tag) => ({ value: `tag:${tag}`, text: tag })) });
  return groups;
}
