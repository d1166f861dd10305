// Small parts of SVG pictures: lines of text, editable values and pressable elements.

import { svg } from "studio/ui/draw.js";

export type Box = { x: number; y: number; width: number; height: number };

/** Makes an SVG element a button: reachable by Tab, pressed by a click, Enter or Space. */
export function pressable<T extends SVGElement>(root: T, label: string, press: () => void): T {
  root.setAttribute("role", "button");
  root.setAttribute("tabindex", "0");
  root.setAttribute("aria-label", label);
  root.classList.add("hs-press");
  root.addEventListener("click", (event) => {
    event.stopPropagation();
    press();
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    press();
  });
  return root;
}

const rooms: WeakMap<SVGTextElement, number> = new WeakMap();

/** Lets `fit` narrow a text that is wider than its room. */
export function keepWithin(text: SVGTextElement | null, room: number) {
  if (text && room < Infinity) rooms.set(text, room);
}

/**
 * Makes a line of text.
 *
 * @param kind its class
 * @param room its maximum width, enforced by `fit`
 */
export function text(
  x: number,
  y: number,
  kind: string,
  anchor: "start" | "middle" | "end" = "start",
  words: string = "",
  room: number = Infinity,
): SVGElement {
  const made = svg("text", { x, y, class: kind, "text-anchor": anchor, text: words });
  if (room < Infinity) rooms.set(made, room);
  return made;
}

/**
 * Narrows texts that are too wide for their space: fonts differ between machines, and some are wide.
 *
 * @param picture which must be on the page, since texts have no width elsewhere
 */
export function fit(picture: Element) {
  const texts = [...picture.querySelectorAll("text")].filter((one) => rooms.has(one));
  for (const one of texts) one.removeAttribute("textLength");
  const wide = texts.filter((one) => one.getComputedTextLength() > (rooms.get(one) as number));
  for (const one of wide) {
    one.setAttribute("textLength", String(rooms.get(one)));
    one.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }
}

/** a number in the picture */
interface Value {
  root: SVGElement;
  show: (words: string, label: string, edited: boolean) => void;
}

/**
 * Makes a number in a box, which is a button if the number can be edited.
 *
 * @param box the space it takes
 */
export function value(
  box: Box,
  anchor: "start" | "middle" | "end",
  edit: ((element: SVGElement) => void) | null,
): Value {
  const inset = 6;
  const x = anchor === "start" ? box.x + inset : anchor === "end" ? box.x + box.width - inset : box.x + box.width / 2;
  const back = svg("rect", { ...box, rx: 5, class: "hs-value-back" });
  const mark = svg("rect", { x: box.x, y: box.y, width: 4, height: box.height, rx: 2, class: "hs-value-mark" });
  const words = text(x, box.y + box.height / 2 + 5, "hs-number", anchor, "", box.width - 2 * inset);
  const root = svg("g", { class: "hs-value" }, [back, mark, words]);
  if (edit) pressable(root, "", () => edit(root));
  const show = (number: string, label: string, edited: boolean) => {
    words.textContent = number;
    root.classList.toggle("is-edited", edited);
    if (edit) root.setAttribute("aria-label", `${label}${edited ? ", edited" : ""}. Press to edit`);
  };
  return { root, show };
}
