// Before and after as a picture: the panel's table as SVG, for export.

import type { ComponentChild } from "preact";
import { barBound } from "studio/panels/edits/table.js";
import type { Difference } from "studio/state/difference.js";
import { shownToken } from "studio/state/tokens.js";

const [LEFT, COLUMN, TOP, LINE, BAND] = [64, 84, 24, 34, 48];
const ROOM = BAND - 20; // of bars

export function DifferencePicture({ difference: { words, tracks } }: { difference: Difference }) {
  const predicts = Boolean(words[0]?.before);
  const top = TOP + (predicts ? 2 * LINE + 16 : 4);
  const scale = barBound(tracks);
  const [width, height] = [LEFT + words.length * COLUMN + 8, top + 24 + tracks.length * BAND];
  const centre = (t: number) => LEFT + (t + 0.5) * COLUMN;
  const text = (x: number, y: number, words: ComponentChild, kind: string = "") => (
    <text class={`difference-text ${kind}`} x={x} y={y}>
      {words}
    </text>
  );
  return (
    <svg class="difference-picture" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      {predicts && ["before", "after"].map((name, k) => text(LEFT - 10, TOP + LINE * (k + 0.6), name, "name"))}
      {words.map(({ t, token, before, after, changed }) => (
        <>
          {text(centre(t), 14, shownToken(token), "word")}
          {[before, after].map((choice, k) => {
            const y = TOP + LINE * (k + 0.6);
            return (
              choice && (
                <>
                  {text(centre(t), y, shownToken(choice.label), k && changed ? "changed" : "")}
                  {text(centre(t), y + 13, choice.probability.toFixed(2), "soft")}
                </>
              )
            );
          })}
        </>
      ))}
      {text(LEFT, top + 10, `max |Δh|, bars to ${scale}`, "title")}
      {tracks.map(({ info, size, first }, k) => {
        const y = top + 20 + k * BAND + ROOM;
        return (
          <>
            {text(LEFT - 10, y, info.name, "name")}
            {Array.from(size, (one, t) => {
              const tall = Math.max(1, Math.min(1, one / scale) * ROOM);
              return (
                <>
                  <rect
                    {...{ x: centre(t) - 20, y: y - tall, width: 40, height: tall }}
                    class={t === first ? "difference-bar first" : "difference-bar"}
                  />
                  {text(centre(t), y + 13, one.toFixed(2), "soft")}
                </>
              );
            })}
          </>
        );
      })}
    </svg>
  );
}
