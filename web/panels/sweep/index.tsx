// Sweep: the target with every state of the other text patched into this one, one at a time.

import { useComputed, useSignal } from "@preact/signals";
import { MOST_ITEMS } from "studio/facts.js";
import { allPlaces, type Place, stateAt, sweep } from "studio/runtime/explain/sweep.js";
import { outputAt } from "studio/runtime/explain/target.js";
import { type Explained, subjectAt } from "studio/state/explained.js";
import { readInput } from "studio/state/input.js";
import type { Work } from "studio/state/job.js";
import { shortest, shortToken } from "studio/state/run.js";
import type { Edit, Subject } from "studio/types.js";
import { useApp, useJob, useNouns, useTyping } from "studio/ui/app.js";
import { CellMap, type CellMapProps, strongest } from "studio/ui/cell-map.js";
import { exactly } from "studio/ui/draw.js";
import { Button, Progress, Says } from "studio/ui/form.js";
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
        <span>{inNouns("the other text")}</span>
        <textarea
          {...{ class: "sweep-other", rows: 1, spellcheck: false, autocomplete: "off", "aria-label": "The other text" }}
          hidden={explained?.subject.cells.length === 0}
          {...other}
        />
      </div>
      <Says kind="sweep-says" text={inNouns(pair ? pairSentence(pair) : reason)} />
      <Stage class="scroll sweep-stage" reveal=".cell[tabindex='0']" when={sweep}>
        {(width) => sweep && <PatchMap {...{ sweep, width, point }} press={open} />}
      </Stage>
      <Says kind="sweep-readout" how="polite" text={inNouns(readout.value || "")} />
      <p class="sweep-means" hidden={pair === null}>
        {inNouns(MEANING)}
      </p>
    </Panel>
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

/** Two texts with the same number of steps, and the target in both. */
export interface Pair {
  explained: Explained;
  other: Subject;
  whole: number; // the target in this text
  patched: number; // the target, read at the same step, in the other
}

export interface Sweep {
  pair: Pair;
  places: Place[]; // track by track, c before h, T each
  effects: Float64Array; // how far each moves the target
}

/** @param text the other one */
function pairWith(explained: Explained, text: string): { pair: Pair | null; reason: string } {
  const { model, subject, target } = explained;
  const no = (reason: string) => ({ pair: null, reason });
  if (subject.cells.length === 0)
    return no("A recorded trace has no weights and can't be run again, so nothing can be patched into it.");
  try {
    const run = readInput(model, text);
    if (run === null) return no("The other text is empty.");
    const other = subjectAt(model, run, target.t - subject.lead);
    if (other.steps !== subject.steps) {
      const [many, here] = [other.steps - other.lead, subject.steps - subject.lead];
      return no(`The other text has ${many} ${model.unit}s, but this one has ${here}. They must have the same number.`);
    }
    if (differing(subject, other).length === 0)
      return no(`The two texts are the same. Change a ${model.unit} in the other one.`);
    const read = (one: Subject) => target.of(outputAt(one, target.t));
    return { pair: { explained, other, whole: read(subject), patched: read(other) }, reason: "" };
  } catch (error) {
    return no(error instanceof Error ? error.message : String(error));
  }
}

/** The steps whose inputs differ; `b`: with the same number of steps. */
export function differing(a: Subject, b: Subject): number[] {
  const inputs = [a, b].map(({ tracks }) => tracks[0].input as Float32Array);
  const C = inputs[0].length / a.steps;
  return Array.from({ length: a.steps }, (_, t) => t).filter((t) => {
    const [one, two] = inputs.map((input) => input.subarray(t * C, (t + 1) * C));
    return a.tokens[t] !== b.tokens[t] || one.some((value, k) => value !== two[k]);
  });
}

export function sweepWork(pair: Pair): Work<Sweep> {
  const { subject, target } = pair.explained;
  const places = allPlaces(subject);
  return { steps: effects(), cost: places.length };

  function* effects() {
    const values = yield* sweep(subject, pair.other, target, places);
    return { pair, places, effects: values.map((value) => value - pair.whole) };
  }
}

export const pairSentence = ({ explained, whole, patched }: Pair): string =>
  `The ${explained.name} is ${exactly(whole)} here. In the other text, at the same step, it is ${exactly(patched)}: ` +
  `a difference of ${exactly(patched - whole)}.`;

export const MEANING =
  "Each cell patches one state of the other text (all units of c or h of that layer and direction, at that step) into the run " +
  "of this text, and shows how far the target moves. It is a real run with that one change, so it shows what this state " +
  "carries between these two texts. The cells do not add up, and prove nothing about other texts. Press a cell to see its run, with the patch as edits.";

export function cellSentence({ pair, places, effects }: Sweep, n: number): string {
  const { subject, name } = pair.explained;
  const { track, quantity, t } = places[n];
  const gap = pair.patched - pair.whole;
  const share = `, ${Math.round((100 * effects[n]) / gap)} % of the way to the other text`;
  const way = Math.abs(effects[n]) < 2 * Math.abs(gap) ? share : "";
  const moves = `moves the ${name} by ${exactly(effects[n])} to ${exactly(pair.whole + effects[n])}${way}.`;
  const { name: trackName, units } = subject.tracks[track].info;
  const press =
    units > MOST_ITEMS
      ? "It has too many units to be opened as edits."
      : "Press it to open the Read page with this edit.";
  const opens =
    sweepStep(pair, t) < 0 ? "It is before the text's first step, where the Read page has no edits." : press;
  const where = `${quantity} of ${trackName} at \u201c${shortToken(subject.tokens[t], 24)}\u201d`;
  return `${where}, patched in from the other text, ${moves} ${opens}`;
}

/** @returns the step of the run on the other pages; negative before its first */
const sweepStep = ({ explained }: Pair, t: number): number => t - explained.subject.lead;

/** A patch as edits: each unit is set to its value in the other text; empty if it can't be opened. */
export function patchEdits({ pair, places }: Sweep, n: number): Edit[] {
  const { track, quantity, t } = places[n];
  const step = sweepStep(pair, t);
  const values = stateAt(pair.other, track, quantity, t);
  if (step < 0 || values.length > MOST_ITEMS) return [];
  const place = `${pair.explained.subject.tracks[track].info.name}.${quantity}`;
  return Array.from(values, (value, unit) => {
    return { place, kind: "set", value: shortest(value), unit: [unit], t: [step], scope: "write" };
  });
}

export function sweepRows(sweep: Sweep | null): string[][] {
  if (sweep === null) return [];
  const { pair, places, effects } = sweep;
  const { tracks, tokens } = pair.explained.subject;
  const rows = places.map(({ track, quantity, t }, n) => {
    return [tracks[track].info.name, quantity, String(t), tokens[t], pair.other.tokens[t], String(effects[n])];
  });
  return [["track", "state", "step", "word", "other word", "effect"], ...rows];
}
