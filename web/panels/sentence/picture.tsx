// The sentence panel as a picture and as a table.

import { bandsOf, SeriesPicture } from "studio/panels/sentence/series.js";
import { findHead, predictionAt, shownToken } from "studio/state/run.js";
import { readsNumbers, seriesLines } from "studio/state/series.js";
import type { Model, Run, View } from "studio/types.js";
import { type ChartRow, WordChart } from "studio/ui/word-chart.js";

const WIDTH = 960;
const MOST_LABELS = 200; // maximum number of labels that get their own column in the table

type Column = { name: string; value: (t: number) => string | number | boolean };

/** Words above bars: as high as the probability of a word's label, or its surprise. */
export function SentencePicture(props: { model: Model; run: Run; plain: Run | null; view: View }) {
  const { model, run, plain, view } = props;
  if (readsNumbers(run)) return <SeriesPicture {...{ model, run, width: WIDTH, bands: bandsOf(model, run, plain) }} />;
  const columns = run.tokens.map((token) => ({ word: shownToken(token), label: "" }));
  return <WordChart {...{ columns, rows: rowsOf(run, view.head), width: WIDTH, label: "The input, step by step" }} />;
}

function rowsOf(run: Run, name: string): ChartRow[] {
  const { surprise } = run;
  const head = findHead(run, name);
  if (surprise) return [{ title: "Surprise in nats", values: surprise, texts: Array.from(surprise, oneDigit) }];
  if (head === null) return [];
  const predictions = run.tokens.map((_, t) => predictionAt(head, t));
  const texts = predictions.map(({ label }) => label);
  return [{ title: "Prediction", values: predictions.map(({ probability }) => probability), texts }];
}

const oneDigit = (value: number) => value.toFixed(1);

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
