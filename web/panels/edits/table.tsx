// The run before and after the edits, one column per step: the prediction, how much it changed, and the change in each
// track's h.

import { useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { type Difference, type Distance, firstDifferent } from "studio/state/edits.js";
import { shownToken, stepName } from "studio/state/run.js";
import type { Choice } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Button } from "studio/ui/form.js";
import { type ChartRow, WordChart } from "studio/ui/word-chart.js";

export function DifferenceTable({ difference }: { difference: Difference }) {
  const { store, view } = useApp();
  const { words, tracks } = difference;
  const table = useRef<HTMLTableElement>(null);
  const mark = (step: number) => {
    for (const cell of table.current?.querySelectorAll(".here") ?? []) cell.classList.remove("here");
    for (const cell of table.current?.querySelectorAll(`tr > :nth-child(${step + 2})`) ?? [])
      cell.classList.add("here");
  };
  useLayoutEffect(() => mark(store.get().step));
  useSignalEffect(() => mark(view.step));
  const scale = barBound(tracks);
  const moved = words.map((word) => word.moved);
  const first = firstDifferent(moved, false);
  return (
    <table ref={table} class="difference" style={{ "--columns": words.length }}>
      <caption>Before and after the edits, step by step</caption>
      <thead>
        <tr>
          <td />
          {words.map(({ t, token, changed }) => (
            <th scope="col" class={changed ? "changed" : ""}>
              <Button text={shownToken(token)} title={`step ${t}`} press={() => store.set({ step: t })} />
            </th>
          ))}
        </tr>
      </thead>
      {words[0]?.before && (
        <tbody>
          <Row name="before" title="Prediction without the edits" kind="before">
            {words.map(({ before }) => (
              <Predicted choice={before} />
            ))}
          </Row>
          <Row name="after" title="Prediction with the edits" kind="after">
            {words.map(({ after, changed }) => (
              <Predicted choice={after} kind={changed ? "changed" : ""} />
            ))}
          </Row>
          <Row name="moved" title="Probability that moved to other labels">
            {moved.map((size, t) => (
              <Sized size={size} scale={1} mark={t === first ? "first" : ""} />
            ))}
          </Row>
        </tbody>
      )}
      <tbody class="tracks">
        <tr class="divide">
          <th scope="rowgroup" colSpan={words.length + 1}>
            {`max |Δh|, bars to ${scale}`}
          </th>
        </tr>
        {tracks.map(({ info, size, first: at }) => (
          <Row
            name={info.name}
            title={`Largest difference in h of any unit of ${info.name}, with and without the edits`}
          >
            {Array.from(size, (one, t) => (
              <Sized size={one} scale={scale} mark={t !== at ? "" : info.reverse ? "◂ first" : "first ▸"} />
            ))}
          </Row>
        ))}
      </tbody>
    </table>
  );
}

const Row = (props: { name: string; title: string; kind?: string; children: ComponentChildren }) => (
  <tr class={props.kind ?? ""}>
    <th scope="row" title={props.title}>
      {props.name}
    </th>
    {props.children}
  </tr>
);

const Predicted = ({ choice, kind = "" }: { choice: Choice | null; kind?: string }) => (
  <td class={kind}>
    {choice && (
      <>
        <span class="label">{shownToken(choice.label)}</span>
        <span class="share">{choice.probability.toFixed(2)}</span>
      </>
    )}
  </td>
);

/** A number with a bar, its share of the row's scale; `mark`: "", or the label of a first step. */
const Sized = ({ size, scale, mark }: { size: number; scale: number; mark: string }) => (
  <td class={mark ? "size first" : "size"}>
    <span class="bar" style={{ "--share": Math.min(1, size / scale) }} />
    <span class="share">{size === 0 ? "0" : size < 0.01 ? "<.01" : size.toFixed(2)}</span>
    {mark && <span class="mark">{mark}</span>}
  </td>
);

/** Bars over words; labels are beside bars as high as their probabilities. */
export function DifferencePicture({ difference: { words, tracks } }: { difference: Difference }) {
  const predictions = (title: string, choices: (Choice | null)[]): ChartRow => ({
    ...{ title, values: choices.map((choice) => choice?.probability ?? NaN), scale: "probability" },
    texts: choices.map((choice) => shownToken(choice?.label ?? "")),
  });
  const outputs = [
    predictions(
      "Prediction without the edits",
      words.map(({ before }) => before),
    ),
    predictions(
      "Prediction with the edits",
      words.map(({ after }) => after),
    ),
    { title: "Probability that moved to other labels", values: words.map(({ moved }) => moved), scale: "probability" },
  ];
  const states = tracks.map(({ info, size }) => ({
    ...{ title: `max |Δh| of ${info.name}`, values: size, scale: "h" },
    texts: Array.from(size, (one) => one.toFixed(2)),
  }));
  const columns = words.map(({ token }) => ({ word: shownToken(token), label: "" }));
  const rows = words[0]?.before ? [...outputs, ...states] : states;
  return <WordChart {...{ columns, rows, width: 960, label: "Before and after the edits" }} />;
}

/** The scale of the bars of h: values between -1 and 1 differ by at most 2. */
function barBound(tracks: Distance[]): number {
  const most = Math.max(0, ...tracks.map(({ size }) => Math.max(0, ...size)));
  return [0.1, 0.2, 0.5, 1].find((bound) => most <= bound) ?? 2;
}

export function differenceRows({ words, tracks }: Difference): string[][] {
  const head = ["step", "token", "before", "probability before", "after", "probability after", "moved"];
  const lines = words.map(({ t, token, before, after, moved }) => {
    const choices = [before, after].flatMap((choice) => [choice?.label ?? "", choice?.probability ?? ""]);
    return [t, token, ...choices, moved, ...tracks.map(({ size }) => size[t])].map(String);
  });
  return [[...head, ...tracks.map(({ info }) => `max |Δh| ${info.name}`)], ...lines];
}

export function differenceVerdict({ words, tracks, first, changed }: Difference): string {
  const tokens = words.map(({ token }) => token);
  const at = (t: number) => stepName({ tokens }, t);
  const parted = tracks.filter((track) => track.first >= 0);
  if (!parted.length) return "These edits change nothing here: every value stays the same.";
  const inside = parted.map((track) => `${track.info.name} at ${at(track.first)}`).join(", ");
  const count = `${changed} of ${words.length} predictions ${changed === 1 ? "changes" : "change"}`;
  const differs = first < 0 ? "" : `; the first to differ at all is that at ${at(first)}`;
  const outside = words[0].before ? `${count}${differs}. ` : "";
  return `${outside}First difference in each layer, in reading order: ${inside}.`;
}
