// Controls for forms: buttons, choices between a few options, and numbers with sliders.

import { element } from "studio/ui/draw.js";

let names = 0;

/**
 * @param {string} text
 * @param {(event: Event) => void} onPress
 * @param {Record<string, string>} [attributes]
 * @returns {HTMLButtonElement}
 */
export function button(text, onPress, attributes = {}) {
  const made = /** @type {HTMLButtonElement} */ (element("button", { type: "button", text, ...attributes }));
  made.addEventListener("click", onPress);
  return made;
}

/**
 * Makes a choice between a few options: radio buttons that look like one bar.
 * @template {string} K
 * @param {string} label
 * @param {Record<K, string>} options
 * @param {NoInfer<K>} chosen
 * @param {(key: K) => void} onChoose
 * @returns {HTMLElement}
 */
export function choice(label, options, chosen, onChoose) {
  const name = `choice-${names++}`;
  const keys = /** @type {K[]} */ (Object.keys(options));
  const radios = keys.map((key) => {
    const input = /** @type {HTMLInputElement} */ (element("input", { type: "radio", name, value: key }));
    input.checked = key === chosen;
    input.addEventListener("change", () => onChoose(key));
    return element("label", {}, [input, element("span", { text: options[key] })]);
  });
  return element("fieldset", { class: "choice" }, [element("legend", { text: label }), ...radios]);
}

/**
 * Makes a field for a number, with a slider. Typed values may be outside the slider's range.
 * @param {{label: string, low: number, high: number, value: number}} what
 * @param {(value: number) => void} onChange
 * @returns {HTMLElement}
 */
export function field({ label, low, high, value }, onChange) {
  const slider = input(
    { type: "range", min: String(low), max: String(high), step: "0.01", "aria-label": `${label}, slider` },
    value,
  );
  const number = input({ type: "number", step: "any", "aria-label": label }, value);
  /** @param {HTMLInputElement} from @param {HTMLInputElement} to */
  const link = (from, to) =>
    from.addEventListener("input", () => {
      if (!Number.isFinite(from.valueAsNumber)) return;
      to.value = from.value;
      onChange(from.valueAsNumber);
    });
  link(slider, number);
  link(number, slider);
  return element("div", { class: "edit-value" }, [number, slider]);
}

/**
 * @param {Record<string, string>} attributes
 * @param {number} value
 * @returns {HTMLInputElement}
 */
function input(attributes, value) {
  const made = /** @type {HTMLInputElement} */ (element("input", attributes));
  made.value = String(value);
  return made;
}
