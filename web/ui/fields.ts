// Controls for forms: buttons, choices between a few options, and numbers with sliders.

import { element } from "studio/ui/draw.js";

let names = 0;

export function button(
  text: string,
  onPress: (event: Event) => void,
  attributes: Record<string, string> = {},
): HTMLButtonElement {
  const made = element("button", { type: "button", text, ...attributes }) as HTMLButtonElement;
  made.addEventListener("click", onPress);
  return made;
}

/** Makes a choice between a few options: radio buttons that look like one bar. */
export function choice<K extends string>(
  label: string,
  options: Record<K, string>,
  chosen: NoInfer<K>,
  onChoose: (key: K) => void,
): HTMLElement {
  const name = `choice-${names++}`;
  const keys = Object.keys(options) as K[];
  const radios = keys.map((key) => {
    const input = element("input", { type: "radio", name, value: key }) as HTMLInputElement;
    input.checked = key === chosen;
    input.addEventListener("change", () => onChoose(key));
    return element("label", {}, [input, element("span", { text: options[key] })]);
  });
  return element("fieldset", { class: "choice" }, [element("legend", { text: label }), ...radios]);
}
