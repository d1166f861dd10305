// The static parts of the unit charts: scales on the left, tokens below.

import { type Band, LEFT, RIGHT, xOf, yOf } from "studio/panels/lines/layout.js";
import { shortToken } from "studio/state/tokens.js";
import type { Run } from "studio/types.js";
import { label, svg, tick } from "studio/ui/draw.js";

const CLOSE = 14; // minimum pixels between tokens, if each step has one
const LOOSE = 18; // minimum pixels between tokens, if some steps have none

export function frame(band: Band, width: number) {
  const marks = band.low === 0 ? [0, 1] : [band.low, 0, band.high];
  return marks.flatMap((value) => {
    const y = Math.round(yOf(value, band)) + 0.5;
    return [
      svg("line", { x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: value === 0 ? "axis" : "axis faint" }),
      label(LEFT - 6, y + 3.5, "tick", "end", tick(value)),
    ];
  });
}

export function words(run: Run, width: number, bottom: number) {
  const pitch = (width - LEFT - RIGHT) / Math.max(1, run.steps);
  const every = pitch >= CLOSE ? 1 : Math.ceil(LOOSE / pitch);
  const turned = run.tokens.some((token) => shortToken(token, 2).length > 1); // tokens are slanted, except for characters
  return run.tokens.flatMap((token, t) => {
    if (t % every !== 0) return [];
    const [x, y] = [xOf(t, width, run.steps) + (turned ? 3 : 0), bottom + 14];
    return [
      svg("text", {
        x,
        y,
        class: "tick word-tick",
        "text-anchor": turned ? "end" : "middle",
        transform: turned ? `rotate(-40 ${x} ${y})` : null,
        text: shortToken(token, 11),
      }),
    ];
  });
}
