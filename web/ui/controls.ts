// Controls for tool bars: segments, icon buttons and drop-down lists.

import { element, set } from "studio/ui/draw.js";
import { type Icon, icon } from "studio/ui/icons.js";

/** A choice between a few options, as a group of joined buttons. */
export function segments<T extends string>(
  label: string,
  choices: readonly { value: T; text: string; title?: string }[],
  choose: (value: T) => void,
): { root: HTMLElement; show: (value: T) => void } {
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
  const show = (value: T) => {
    for (const button of buttons) set(button, "aria-pressed", String(button.dataset.value === value));
  };
  return { root, show };
}

/** @param kind further classes */
export function iconButton(name: Icon, label: string, click: () => void, kind: string = "quiet"): HTMLButtonElement {
  return element(
    "button",
    { type: "button", class: `icon-button ${kind}`, "aria-label": label, title: label, on: { click } },
    [icon(name)],
  );
}

/** A labelled drop-down list, whose entries may be grouped. */
export function chooser(
  label: string,
  choose: (value: string) => void,
): { root: HTMLLabelElement; select: HTMLSelectElement; fill: (groups: Group[], value: string) => void } {
  const select = element("select", { on: { change: () => choose(select.value) } });
  const root = element("label", { class: "field" }, [element("span", { text: label }), select]);
  const fill = (groups: Group[], value: string) => {
    select.replaceChildren(...groups.flatMap(entries));
    select.value = value;
  };
  return { root, select, fill };
}

/** Entries of a group without a label are not grouped. */
type Group = { label: string; options: { value: string; text: string }[] };

function entries({ label, options }: Group): HTMLElement[] {
  const made = options.map(({ value, text }) => element("option", { value, text }));
  return label === "" ? made : [element("optgroup", { label }, made)];
}
