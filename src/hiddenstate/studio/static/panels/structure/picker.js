// The control that chooses the layer and direction: buttons if there are few, otherwise a list.

import { segments } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";

/** @typedef {import("studio/types.js").TrackInfo} TrackInfo */

const FEW = 6;

/**
 * @param {(track: string) => void} choose
 */
export function trackPicker(choose) {
  const root = element("span", { class: "st-picker" });
  let known = "";
  let mark = (/** @type {string} */ _) => {};
  const show = (/** @type {readonly TrackInfo[]} */ tracks, /** @type {string} */ name) => {
    const names = tracks.map((track) => track.name);
    if (names.join() !== known) mark = fill(root, names, choose);
    known = names.join();
    mark(name);
  };
  return { root, show };
}

/**
 * @param {HTMLElement} root
 * @param {string[]} names
 * @param {(track: string) => void} choose
 * @returns {(name: string) => void} marks the chosen one
 */
function fill(root, names, choose) {
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
