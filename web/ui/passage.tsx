// A passage of a corpus in one line, centred on its middle, each token in the colour of a unit's value there.

import { parseAddress, type Span } from "studio/state/corpus.js";
import { shownToken } from "studio/state/run.js";
import { useApp } from "studio/ui/app.js";
import { exactly } from "studio/ui/draw.js";
import { colour, rgb } from "studio/ui/scales.js";

const MOST_MIDDLE = 40; // tokens

/**
 * @param props.span of the passage, which may not be known yet
 * @param props.start the first step in the middle, and `stop` the one after the last
 */
export function PassageLine({ unit, span, start, stop }: { unit: string; span: Span; start: number; stop: number }) {
  const passage = useApp().corpus.passage(unit, span);
  if (passage === undefined) return <span class="passage waiting">{"\u2026"}</span>;
  const { tokens, labels, values, start: first } = passage;
  const { quantity } = parseAddress(unit);
  const isDense = tokens.every((token) => [...token].length <= 1);
  const part = (kind: string, from: number, to: number) => (
    <span class={`passage-${kind}`}>
      {tokens.slice(Math.max(0, from), Math.max(0, to)).map((token, at) => {
        const k = Math.max(0, from) + at;
        const label = labels[k] === "" ? "" : `, ${labels[k]}`;
        return (
          <span
            class="passage-token"
            title={`${shownToken(token)}${label}: ${exactly(values[k])}`}
            style={tokenColours(quantity, values[k])}
          >
            {shownToken(token)}
          </span>
        );
      })}
    </span>
  );
  const [begin, end] = [start - first, Math.min(stop, start + MOST_MIDDLE) - first];
  return (
    <span class={isDense ? "passage dense" : "passage"}>
      {part("before", 0, begin)}
      {part("middle", begin, end)}
      {stop - start > MOST_MIDDLE && "\u2026"}
      {part("after", stop - first, tokens.length)}
    </span>
  );
}

/** The background colour for a value, and a text colour that is readable on it. */
export function tokenColours(quantity: string, value: number): Record<string, string> {
  const [red, green, blue] = rgb(quantity, value).map((level) => (level / 255) ** 2.2);
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return { background: colour(quantity, value), color: light > 0.18 ? "#14161a" : "#ffffff" };
}
