// A passage of a corpus in one line, centred on its middle, each token in the colour of a unit's value there.

import type { Passage } from "studio/state/corpus.js";
import { shownToken } from "studio/state/tokens.js";
import { element, exactly } from "studio/ui/draw.js";
import { colour, rgb } from "studio/ui/scales.js";

const MOST_MIDDLE = 40; // tokens

/**
 * @param passage undefined while it is not known yet
 * @param what the steps in the middle, and the kind of the values
 */
export function passageLine(
  passage: Passage | undefined,
  { start, stop, quantity }: { start: number; stop: number; quantity: string },
): HTMLElement {
  if (passage === undefined) return element("span", { class: "passage waiting", text: "\u2026" });
  const { tokens, start: first } = passage;
  const isDense = tokens.every((token) => [...token].length <= 1);
  const part = (kind: string, from: number, to: number) =>
    element(
      "span",
      { class: `passage-${kind}` },
      tokens.slice(Math.max(0, from), Math.max(0, to)).map((_, k) => tokenOf(passage, Math.max(0, from) + k, quantity)),
    );
  const [begin, end] = [start - first, Math.min(stop, start + MOST_MIDDLE) - first];
  const after = stop - start > MOST_MIDDLE ? "\u2026" : null;
  return element("span", { class: isDense ? "passage dense" : "passage" }, [
    part("before", 0, begin),
    part("middle", begin, end),
    after,
    part("after", stop - first, tokens.length),
  ]);
}

function tokenOf({ tokens, labels, values }: Passage, k: number, quantity: string) {
  const label = labels[k] === "" ? "" : `, ${labels[k]}`;
  return element("span", {
    class: "passage-token",
    text: shownToken(tokens[k]),
    title: `${shownToken(tokens[k])}${label}: ${exactly(values[k])}`,
    style: tokenColours(quantity, values[k]),
  });
}

/** The background colour for a value, and a text colour that is readable on it. */
export function tokenColours(quantity: string, value: number): Record<string, string> {
  const [red, green, blue] = rgb(quantity, value).map((level) => (level / 255) ** 2.2);
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return { background: colour(quantity, value), color: light > 0.18 ? "#14161a" : "#ffffff" };
}
