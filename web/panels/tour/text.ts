// Converts text with `code` and *emphasis* to elements.

import { element } from "studio/ui/draw.js";

export function rich(text: string): (HTMLElement | string)[] {
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

export function paragraph(text: string): HTMLElement {
  return element("p", {}, rich(text));
}

/**
 * A question with a numeric answer.
 *
 * @param onAnswer returns the response to the answer
 */
export function question(label: string, onAnswer: (value: number) => string): HTMLElement {
  const input = element("input", {
    type: "text",
    inputmode: "decimal",
    autocomplete: "off",
    size: "9",
  }) as HTMLInputElement;
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
