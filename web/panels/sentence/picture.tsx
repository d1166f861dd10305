// The sentence panel as a picture and as a table.

import { bandsOf, SeriesPicture } from "studio/panels/sentence/series.js";
import { MOST_NATS } from "studio/panels/sentence/words.js";
import { findHead, predictionAt, shownToken } from "studio/state/run.js";
import { readsNumbers, seriesLines } from "studio/state/series.js";
import type { Model, Run, View } from "studio/types.js";
import { Text } from "studio/ui/stage.js";
import { fontFamily, measure } from "studio/ui/theme.js";

const WIDTH = 960;
const LINE = 46;
const MOST_LABELS = 200; // maximum number of labels that get their own column in the table

type Column = { name: string; value: (t: number) => string | number | boolean };

/** Words above their tags and probability bars, broken into lines as on a page. */
export function SentencePicture(props: { model: Model; run: Run; plain: Run | null; view: View }) {
  const { model, run, plain, view } = props;
  if (readsNumbers(run)) return <SeriesPicture {...{ model, run, width: WIDTH, bands: bandsOf(model, run, plain) }} />;
  const places = layOut(run);
  const width = Math.max(...places.map((place) => place.x + place.width), LINE) + 2;
  const height = ((places.at(-1)?.line ?? 0) + 1) * LINE + 8;
  const head = findHead(run, view.head);
  return (
    <svg class="sentence-picture" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      {places.map(({ x, width: room, line }, t) => {
        const [middle, y] = [x + (room - 6) / 2, line * LINE];
        const prediction = head && !run.surprise ? predictionAt(head, t) : null;
        const below = run.surprise ? run.surprise[t].toFixed(1) : prediction?.label;
        const share = run.surprise ? Math.min(1, run.surprise[t] / MOST_NATS) : (prediction?.probability ?? 0);
        return (
          <>
            <Text x={middle} y={y + 20} kind="picture-token" anchor="middle" text={shownToken(run.tokens[t])} />
            {below !== undefined && (
              <>
                <Text x={middle} y={y + 34} kind="picture-tag" anchor="middle" text={below} />
                <rect
                  {...{ x, y: y + 38, width: (room - 6) * (Number.isFinite(share) ? share : 0), height: 3 }}
                  class="picture-bar"
                />
              </>
            )}
          </>
        );
      })}
    </svg>
  );
}

function layOut(run: Run): { x: number; width: number; line: number }[] {
  const measured = measure(`16px ${fontFamily("--font")}`);
  let [x, line] = [8, 0];
  return run.tokens.map((token) => {
    const width = Math.max(34, measured(shownToken(token)) + 14);
    if (x + width > WIDTH - 8) [x, line] = [8, line + 1];
    const place = { x, width, line };
    x += width;
    return place;
  });
}

/** A table with a row for each step and, if there are few, a column for each label of the chosen head. */
export function sentenceRows(model: Model, run: Run, head: string): string[][] {
  const columns = [...tokenColumns(run), ...columnsOf(model, run, head)];
  return [columns.map(({ name }) => name), ...run.tokens.map((_, t) => columns.map(({ value }) => String(value(t))))];
}

function columnsOf(model: Model, run: Run, head: string): Column[] {
  if (!readsNumbers(run)) return headColumns(run, head);
  return seriesLines(model, run, run).flatMap((lines) =>
    lines.map(({ kind, name, at }) => ({ name: kind === "feature" ? name : `${name} ${kind}`, value: at })),
  );
}

const tokenColumns = ({ tokens, known, surprise }: Run): Column[] => [
  { name: "step", value: (t) => t },
  { name: "token", value: (t) => tokens[t] },
  { name: "known", value: (t) => known[t] ?? true },
  ...(surprise ? [{ name: "surprise", value: (t: number) => surprise[t] }] : []),
];

function headColumns(run: Run, name: string): Column[] {
  const head = findHead(run, name);
  if (head === null) return [];
  const K = head.labels.length;
  const shares = K > MOST_LABELS ? [] : head.labels;
  return [
    { name: "prediction", value: (t) => predictionAt(head, t).label },
    { name: "probability", value: (t) => predictionAt(head, t).probability },
    ...shares.map((label, k) => ({ name: label, value: (t: number) => head.probabilities[t * K + k] })),
  ];
}
