// Controls for tool bars: segments, icon buttons and drop-down lists.

import { element, set } from "studio/ui/draw.js";
import { icon } from "studio/ui/icons.js";

/** @typedef {import("studio/ui/icons.js").Icon} Icon */

/**
 * A choice between a few options, as a group of joined buttons.
 * @template {string} T
 * @param {string} label
 * @param {readonly {value: T, text: string, title?: string}[]} choices
 * @param {(value: T) => void} choose
 * @returns {{root: HTMLElement, show: (value: T) => void}}
 */
export function segments(label, choices, choose) {
  const buttons = choices.map(({ value, text, title }) =>
    element("button", {
      type: "button",
      text,
      title: title ?? null,
      "data-value": value,
      on: { click: () => choose(value) },
    }),
  );
  const root = element("div", { class: "segments", role: "group", "aria-label": label }, buttons);
  const show = (/** @type {T} */ value) => {
    for (const button of buttons) set(button, "aria-pressed", String(button.dataset.value === value));
  };
  return { root, show };
}

/**
 * @param {Icon} name
 * @param {string} label
 * @param {() => void} click
 * @param {string} [kind] further classes
 * @returns {HTMLButtonElement}
 */
export function iconButton(name, label, click, kind = "quiet") {
  return element(
    "button",
    { type: "button", class: `icon-button ${kind}`, "aria-label": label, title: label, on: { click } },
    [icon(name)],
  );
}

/**
 * A labelled drop-down list, whose entries may be grouped.
 * @param {string} label
 * @param {(value: string) => void} choose
 * @returns {{root: HTMLLabelElement, select: HTMLSelectElement, fill: (groups: Group[], value: string) => void}}
 */
export function chooser(label, choose) {
  const select = element("select", { on: { change: () => choose(select.value) } });
  const root = element("label", { class: "field" }, [element("span", { text: label }), select]);
  const fill = (/** @type {Group[]} */ groups, /** @type {string} */ value) => {
    select.replaceChildren(...groups.flatMap(entries));
    select.value = value;
  };
  return { root, select, fill };
}

/**
 * Entries of a group without a label are not grouped.
 * @typedef {{label: string, options: {value: string, text: string}[]}} Group
 */

/**
 * @param {Group} group
 * @returns {HTMLElement[]}
 */
function entries({ label, options }) {
  const made = options.map(({ value, text }) => element("option", { value, text }));
  return label === "" ? made : [element("optgroup", { label }, made)];
}
