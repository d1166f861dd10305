// Before and after as a picture: the panel's table as SVG, for export.

import { barBound } from "studio/panels/edits/table.js";
import type { Difference, Word } from "studio/state/difference.js";
import { shownToken } from "studio/state/tokens.js";
import { svg } from "studio/ui/draw.js";

const [LEFT, COLUMN, TOP, LINE, BAND] = [64, 84, 24, 34, 48];

function label(x: number, y: number, text: string, kind: string = "") {
  return svg("text", { class: `difference-text ${kind}`, x, y, text });
}

const centre = (t: number) => LEFT + (t + 0.5) * COLUMN;

/** A word with its labels below it. */
function wordColumn({ t, token, before, after, changed }: Word): SVGElement[] {
  const labels = [before, after].flatMap((choice, k) =>
    choice
      ? [
          label(centre(t), TOP + LINE * (k + 0.6), shownToken(choice.label), k && changed ? "changed" : ""),
          label(centre(t), TOP + LINE * (k + 0.6) + 13, choice.probability.toFixed(2), "soft"),
        ]
      : [],
  );
  return [label(centre(t), 14, shownToken(token), "word"), ...labels];
}

/**
 * A row of bars.
 *
 * @param first the step that is marked
 */
function bars(name: string, sizes: ArrayLike<number>, scale: number, y: number, first: number): SVGElement[] {
  const room = BAND - 20;
  const each = Array.from(sizes).flatMap((size, t) => {
    const height = Math.max(1, Math.min(1, size / scale) * room);
    const box = { x: centre(t) - 20, y: y + room - height, width: 40, height };
    return [
      svg("rect", { class: t === first ? "difference-bar first" : "difference-bar", ...box }),
      label(centre(t), y + room + 13, size.toFixed(2), "soft"),
    ];
  });
  return [label(LEFT - 10, y + room, name, "name"), ...each];
}

export function differencePicture({ words, tracks }: Difference): SVGSVGElement {
  const predicts = Boolean(words[0]?.before);
  const top = TOP + (predicts ? 2 * LINE + 16 : 4);
  const scale = barBound(tracks);
  const rows = tracks.flatMap(({ info, size, first }, k) => bars(info.name, size, scale, top + 20 + k * BAND, first));
  const names = predicts
    ? ["before", "after"].map((name, k) => label(LEFT - 10, TOP + LINE * (k + 0.6), name, "name"))
    : [];
  const title = svg("text", {
    class: "difference-text title",
    x: LEFT,
    y: top + 10,
    text: `max |Δh|, bars to ${scale}`,
  });
  const [width, height] = [LEFT + words.length * COLUMN + 8, top + 24 + tracks.length * BAND];
  return svg("svg", { class: "difference-picture", width, height, viewBox: `0 0 ${width} ${height}` }, [
    ...names,
    ...words.flatMap(wordColumn),
    title,
    ...rows,
  ]);
}
