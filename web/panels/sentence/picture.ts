// The sentence panel as a picture and as a table.

import { readsNumbers, signalPicture } from "studio/panels/sentence/signal.js";
import { headOf, predictionAt } from "studio/state/predictions.js";
import { shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { Run } from "studio/types.js";
import { svg } from "studio/ui/draw.js";
import { fontOf, measure } from "studio/ui/theme.js";

const WIDTH = 960;
const LINE = 46;
const MOST_LABELS = 200; // maximum number of labels that get their own column in the table

type Column = { name: string; value: (t: number) => string | number | boolean };

/**
 * Words above their tags and probability bars, broken into lines as on a page.
 *
 * @returns null if nothing has been read
 */
export function sentencePicture({ session, store }: App): SVGSVGElement | null {
  const { run } = session;
  if (run === null) return null;
  const signal = readsNumbers(run) ? signalPicture(run, WIDTH, store.get().step) : null;
  if (signal) return signal;
  const placed = laidOut(run);
  const width = Math.max(...placed.map((place) => place.x + place.width), LINE) + 2;
  const height = ((placed.at(-1)?.line ?? 0) + 1) * LINE + 8;
  const parts = placed.flatMap((place, t) => wordParts(run, store.get().head, t, place));
  return svg("svg", { class: "sentence-picture", width, height, viewBox: `0 0 ${width} ${height}` }, parts);
}

function laidOut(run: Run): { x: number; width: number; line: number }[] {
  const measured = measure(`16px ${fontOf("--font")}`);
  let [x, line] = [8, 0];
  return run.tokens.map((token) => {
    const width = Math.max(34, measured(shownToken(token)) + 14);
    if (x + width > WIDTH - 8) [x, line] = [8, line + 1];
    const place = { x, width, line };
    x += width;
    return place;
  });
}

function wordParts(
  run: Run,
  headName: string,
  t: number,
  { x, width, line }: { x: number; width: number; line: number },
): SVGElement[] {
  const [middle, y] = [x + (width - 6) / 2, line * LINE];
  const head = headOf(run, headName);
  const token = svg("text", {
    x: middle,
    y: y + 20,
    class: "picture-token",
    "text-anchor": "middle",
    text: shownToken(run.tokens[t]),
  });
  if (run.surprise === null && head === null) return [token];
  const { label, probability } = head && !run.surprise ? predictionAt(head, t) : { label: "", probability: 0 };
  const below = run.surprise ? run.surprise[t].toFixed(1) : label;
  const share = run.surprise ? Math.min(1, run.surprise[t] / 8) : probability;
  return [
    token,
    svg("text", { x: middle, y: y + 34, class: "picture-tag", "text-anchor": "middle", text: below }),
    svg("rect", {
      x,
      y: y + 38,
      width: (width - 6) * (Number.isFinite(share) ? share : 0),
      height: 3,
      class: "picture-bar",
    }),
  ];
}

/** A table with a row for each step and, if there are few, a column for each label of the chosen head. */
export function sentenceRows({ session, store }: App): string[][] {
  const { run } = session;
  if (run === null) return [];
  const columns = [
    ...tokenColumns(run),
    ...(readsNumbers(run) ? inputColumns(run) : headColumns(run, store.get().head)),
  ];
  return [columns.map(({ name }) => name), ...run.tokens.map((_, t) => columns.map(({ value }) => String(value(t))))];
}

function tokenColumns({ tokens, known, surprise }: Run): Column[] {
  return [
    { name: "step", value: (t) => t },
    { name: "token", value: (t) => tokens[t] },
    { name: "known", value: (t) => known[t] ?? true },
    ...(surprise ? [{ name: "surprise", value: (t: number) => surprise[t] }] : []),
  ];
}

function headColumns(run: Run, name: string): Column[] {
  const head = headOf(run, name);
  if (head === null) return [];
  const K = head.labels.length;
  const shares = K > MOST_LABELS ? [] : head.labels;
  return [
    { name: "prediction", value: (t) => predictionAt(head, t).label },
    { name: "probability", value: (t) => predictionAt(head, t).probability },
    ...shares.map((label, k) => ({ name: label, value: (t: number) => head.probabilities[t * K + k] })),
  ];
}

function inputColumns({ tracks: [{ info, input }] }: Run): Column[] {
  return Array.from({ length: info.inputSize }, (_, k) => ({
    name: `x${k}`,
    value: (t: number) => input?.[t * info.inputSize + k] ?? NaN,
  }));
}
