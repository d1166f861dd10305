// Converts text with `code` and *emphasis* to elements.

import { element } from "studio/ui/draw.js";

/**
 * @param {string} text
 * @returns {(HTMLElement | string)[]}
 */
export function rich(text) {
  return text
    .split(/(`[^`]+`|\*[^*\s][^*]*\*)/)
    .filter(Boolean)
    .map((part) => {
      if (part.length > 2 && part.startsWith("`")) return element("code", { text: part.slice(1, -1) });
      if (part.length > 2 && part.startsWith("*") && part.endsWith("*"))
        return element("em", { text: part.slice(1, -1) });
      return part;
    });
}

/**
 * @param {string} text
 * @returns {HTMLElement}
 */
export function paragraph(text) {
  return element("p", {}, rich(text));
}

/**
 * A question with a numeric answer.
 * @param {string} label
 * @param {(value: number) => string} onAnswer returns the response to the answer
 * @returns {HTMLElement}
 */
export function question(label, onAnswer) {
  const input = /** @type {HTMLInputElement} */ (
    element("input", { type: "text", inputmode: "decimal", autocomplete: "off", size: "9" })
  );
  const said = element("p", { class: "tour-said", "aria-live": "polite" });
  const form = element("form", { class: "tour-question" }, [
    element("label", {}, [...rich(label), input]),
    element("button", { type: "submit", text: "Check" }),
    said,
  ]);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = Number(input.value.trim().replace("−", "-").replace(",", "."));
    const valid = input.value.trim() !== "" && Number.isFinite(value);
    said.replaceChildren(...rich(valid ? onAnswer(value) : "Type a number, such as 0.25."));
  });
  return form;
}
