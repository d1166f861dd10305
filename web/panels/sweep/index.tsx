// Sweep: shows how the target changes if one state comes from another text.

import { useComputed, useSignal } from "@preact/signals";
import {
  type Pair,
  type Sweep,
  cellSentence,
  differing,
  MEANING,
  pairSentence,
  pairWith,
  patchEdits,
  sweepRows,
  sweepWork,
} from "studio/panels/sweep/sweep.js";
import { shortToken } from "studio/state/run.js";
import type { Subject } from "studio/types.js";
import { useApp, useJob, useNouns, useTyping } from "studio/ui/app.js";
import { CellMap, type CellMapProps, strongest } from "studio/ui/cell-map.js";
import { exactly } from "studio/ui/draw.js";
import { Button, Progress } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { Stage } from "studio/ui/stage.js";
import { columnWidth } from "studio/ui/word-chart.js";

const HELP =
  "Give a second text with the same number of words, such as this one with one word swapped. Each state of the second text is then patched " +
  "into the run of the first, one at a time, to see which one carries the difference to the target. Arrow keys move from " +
  "cell to cell; Enter opens the Read page with the patch as edits, and undo takes you back.";
const REST = 250; // milliseconds

export function SweepPanel() {
  const inNouns = useNouns();
  const { store, session, view, question } = useApp();
  const pairing = useComputed(() => {
    const { explained } = question.value;
    return explained ? pairWith(explained, view.otherText || view.text) : { pair: null, reason: "" };
  });
  const job = useJob("explain", () => pairing.value.pair, sweepWork);
  const pointed = useSignal<{ sweep: Sweep; n: number } | null>(null);
  const readout = useComputed(() => {
    const sweep = job.result?.value;
    return sweep && cellSentence(sweep, pointed.value?.sweep === sweep ? pointed.value.n : strongest(sweep.effects));
  });
  const rest = () => Math.max(REST, 1.5 * session.took);
  const other = useTyping(view.otherText || view.text, (otherText) => store.set({ otherText }), rest);
  const { explained } = question.value;
  const { pair, reason } = pairing.value;
  const sweep = job.result?.value ?? null;

  const point = (n: number | null) => {
    if (sweep && n !== null) pointed.value = { sweep, n };
  };
  /** Opens the Read page with a patch in force. */
  const open = (n: number) => {
    const edits = sweep === null ? [] : patchEdits(sweep, n);
    if (sweep === null || edits.length === 0) return;
    const { track, quantity, t } = sweep.places[n];
    const { tracks, lead } = sweep.pair.explained.subject;
    const { name } = tracks[track].info;
    store.change({ page: "read", edits, track: name, quantity, step: t - lead }, `patch ${quantity} of ${name}`);
  };

  return (
    <Panel
      {...{ id: "sweep", title: "Sweep: what if?", help: HELP, hidden: explained === null }}
      picture={() => sweep && <PatchMap sweep={sweep} width={1000} />}
      exports={{ csv: () => sweepRows(sweep) }}
      tools={
        <div class="sweep-work">
          <Progress of={job} label="Progress of the sweep" />
          {job.stopped && <Button text="Continue" press={() => job.begin(pair)} />}
        </div>
      }
    >
      <div class="sweep-texts">
        <span>{inNouns("this text")}</span>
        <p>{explained && <Words subject={explained.subject} pair={pair} />}</p>
        <span>the other</span>
        <textarea
          {...{ class: "sweep-other", rows: 1, spellcheck: false, autocomplete: "off", "aria-label": "The other text" }}
          hidden={explained?.subject.cells.length === 0}
          {...other}
        />
      </div>
      <p class="sweep-says" role="status">
        {inNouns(pair ? pairSentence(pair) : reason)}
      </p>
      <Stage class="scroll sweep-stage" reveal=".cell[tabindex='0']" when={sweep}>
        {(width) => sweep && <PatchMap {...{ sweep, width, point }} press={open} />}
      </Stage>
      <p class="sweep-readout" aria-live="polite">
        {inNouns(readout.value || "")}
      </p>
      <p class="sweep-means" hidden={pair === null}>
        {inNouns(MEANING)}
      </p>
    </Panel>
  );
}

/** The words of this text, with those that differ in the other text marked. */
function Words({ subject, pair }: { subject: Subject; pair: Pair | null }) {
  const changed = new Set(pair ? differing(subject, pair.other) : []);
  if (subject.source) return <>{`${subject.tokens[0]} – ${subject.tokens.at(-1)}`}</>;
  const tokens = subject.tokens.slice(subject.lead);
  const isDense = tokens.every((token) => [...token].length === 1);
  return (
    <>
      {tokens.map((token, t) => {
        const word = isDense ? token : shortToken(token, 24);
        return (
          <>
            {changed.has(t + subject.lead) ? <mark>{word}</mark> : word}
            {isDense ? "" : " "}
          </>
        );
      })}
    </>
  );
}

const LEFT = 46;

type PatchMapProps = { sweep: Sweep } & Pick<CellMapProps, "width" | "press" | "point">;

function PatchMap({ sweep: { pair, places, effects }, width, ...rest }: PatchMapProps) {
  const { subject, target } = pair.explained;
  const T = subject.steps;
  const changed = new Set(differing(subject, pair.other));
  const words = subject.tokens.map((token) => shortToken(token, 16));
  const kind = (t: number) => `${changed.has(t) ? " differs" : ""}${t === target.t ? " asked" : ""}`;
  return (
    <CellMap
      {...{ width, left: LEFT, values: effects, label: "Effect of each patch", ...rest }}
      columns={words.map((word, t) => ({ word, kind: kind(t) }))}
      rows={Array.from({ length: places.length / T }, (_, r) => {
        const { track, quantity } = places[r * T];
        return `${subject.tracks[track].info.name}.${quantity}`;
      })}
      column={columnWidth(words, width - LEFT - 4)}
      name={(n) => {
        const { track, quantity, t } = places[n];
        const where = `${quantity} of ${subject.tracks[track].info.name} at ${shortToken(subject.tokens[t], 24)}`;
        return `${where}, step ${t}: ${exactly(effects[n])}`;
      }}
    />
  );
}
