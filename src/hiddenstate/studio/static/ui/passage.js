// A passage of a corpus in one line, centred on its middle, each token in the colour of a unit's value there.

import { shownToken } from "studio/state/tokens.js";
import { element, exactly } from "studio/ui/draw.js";
import { colour, rgb } from "studio/ui/scales.js";

/** @typedef {import("studio/state/corpus.js").Passage} Passage */

const MOST_MIDDLE = 40; // tokens

/**
 * @param {Passage | undefined} passage undefined while it is not known yet
 * @param {{start: number, stop: number, quantity: string}} what the steps in the middle, and the kind of the values
 * @returns {HTMLElement}
 */
export function passageLine(passage, { start, stop, quantity }) {
  if (passage === undefined) return element("span", { class: "passage waiting", text: "\u2026" });
  const { tokens, start: first } = passage;
  const isDense = tokens.every((token) => [...token].length <= 1);
  const part = (/** @type {string} */ kind, /** @type {number} */ from, /** @type {number} */ to) =>
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

/**
 * @param {Passage} passage
 * @param {number} k
 * @param {string} quantity
 */
function tokenOf({ tokens, labels, values }, k, quantity) {
  const label = labels[k] === "" ? "" : `, ${labels[k]}`;
  return element("span", {
    class: "passage-token",
    text: shownToken(tokens[k]),
    title: `${shownToken(tokens[k])}${label}: ${exactly(values[k])}`,
    style: tokenColours(quantity, values[k]),
  });
}

/**
 * The background colour for a value, and a text colour that is readable on it.
 * @param {string} quantity
 * @param {number} value
 * @returns {Record<string, string>}
 */
export function tokenColours(quantity, value) {
  const [red, green, blue] = rgb(quantity, value).map((level) => (level / 255) ** 2.2);
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return { background: colour(quantity, value), color: light > 0.18 ? "#14161a" : "#ffffff" };
}
