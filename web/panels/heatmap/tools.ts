// The heat map's controls: the value to show, the sort order, and the pin.

import { headOf } from "studio/state/predictions.js";
import type { App } from "studio/state/types.js";
import { togglePin } from "studio/state/units.js";
import type { View } from "studio/types.js";
import { chooser, iconButton, segments } from "studio/ui/controls.js";
import { element, set } from "studio/ui/draw.js";

const MOST_TAGS = 200; // a vocabulary would be too long for a list

export function heatTools({ store, session }: App): HTMLElement[] {
  const quantities = element("div");
  const sorts = chooser("Sort by", (sort) => store.set({ sort }));
  let show: (quantity: string) => void = () => {};
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

function pinButton(store: App["store"]) {
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

function sortChoices(run: App["session"]["run"], { head: name, sort }: View) {
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
