// Draws a row of the unrolled network: c and h run from the initial state through all boxes to the final state.

import { line } from "studio/panels/structure/lines.js";
import { type Plan, BOX, LANE, STEP_OUT } from "studio/panels/structure/plan.js";
import type { TrackInfo } from "studio/types.js";
import { text } from "studio/ui/svg-parts.js";

/** Draws one row, in which c and h run from the initial state through all boxes to the final state. */
export function carried(plan: Plan, track: TrackInfo): SVGElement[] {
  const way = track.reverse ? -1 : 1,
    half = BOX.width / 2;
  const middles = plan.words.map((_, k) => plan.box(k, track));
  if (track.reverse) middles.reverse();
  const [{ y }] = middles,
    first = middles[0].x - way * (half + STEP_OUT),
    last = middles[middles.length - 1].x + way * (half + STEP_OUT);
  const tails = [first, ...middles.map(({ x }) => x + way * half)],
    heads = [...middles.map(({ x }) => x - way * half), last];
  const spans = tails.flatMap((tail, k) => {
    // The other direction's line crosses right after every box, so the label avoids it.
    const clear = k ? way * Math.max(0, 2 * plan.shift - half) : 0;
    return states(plan, track, tail, heads[k], (tail + clear + heads[k]) / 2, y);
  });
  return [...spans, ...ends(plan, track, first, last, y)];
}

/** @param label x of the shapes */
function states(
  { rows, sizes }: Plan,
  { units, outputs }: TrackInfo,
  tail: number,
  head: number,
  label: number,
  y: number,
): SVGElement[] {
  const memory = [
    line(tail, y - LANE, head, y - LANE, "c", true),
    text(label, y - LANE - 5, "st-shape st-ink-c", "middle", `c ${rows}×${units}`),
  ];
  return [
    ...(sizes.cell.memory === "c" ? memory : []),
    line(tail, y + LANE, head, y + LANE, "h", true),
    text(label, y + LANE + 14, "st-shape st-ink-h", "middle", `h ${rows}×${outputs}`),
  ];
}

/** The names of the initial and final states, or dots if the row continues beyond the drawn part. */
function ends(plan: Plan, track: TrackInfo, first: number, last: number, y: number): SVGElement[] {
  const index = plan.tracks.indexOf(track),
    [left, right] = track.reverse ? ["_n", "0"] : ["0", "_n"];
  const [from, to] = [Math.min(first, last) - 6, Math.max(first, last) + 6];
  const named = (name: string, end: string, there: boolean) => (there ? `${name}${end}[${index}]` : "…");
  const lanes = [
    ["c", y - LANE + 4],
    ["h", y + LANE + 4],
  ] as ["c" | "h", number][];
  return lanes
    .filter(([name]) => plan.sizes.cell.carried.includes(name))
    .flatMap(([name, at]) => [
      text(from, at, `st-state st-ink-${name}`, "end", named(name, left, plan.first === 0)),
      text(
        to,
        at,
        `st-state st-ink-${name}`,
        "start",
        named(name, right, plan.first + plan.words.length === plan.steps),
      ),
    ]);
}
