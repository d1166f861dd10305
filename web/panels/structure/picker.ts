// The control that chooses the layer and direction: buttons if there are few, otherwise a list.

import type { TrackInfo } from "studio/types.js";
import { segments } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";

const FEW = 6;

export function trackPicker(choose: (track: string) => void) {
  const root = element("span", { class: "st-picker" });
  let known = "";
  let mark = (_: string) => {};
  const show = (tracks: readonly TrackInfo[], name: string) => {
    const names = tracks.map((track) => track.name);
    if (names.join() !== known) mark = fill(root, names, choose);
    known = names.join();
    mark(name);
  };
  return { root, show };
}

/** @returns marks the chosen one */
function fill(root: HTMLElement, names: string[], choose: (track: string) => void): (name: string) => void {
  const label = "Layer and direction";
  if (names.length <= FEW) {
    const made = segments(
      label,
      names.map((value) => ({ value, text: value })),
      choose,
    );
    root.replaceChildren(made.root);
    return made.show;
  }
  const select = element(
    "select",
    { "aria-label": label, on: { change: () => choose(select.value) } },
    names.map((name) => element("option", { value: name, text: name })),
  );
  root.replaceChildren(select);
  return (name) => (select.value = name);
}
