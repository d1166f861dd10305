// The ledger: which steps wrote a memory, how much of it remains at each later word, and what it adds to the target.

import { useComputed, useSignal } from "@preact/signals";
import { HELD } from "studio/facts.js";
import type { Ledger, TargetLedger } from "studio/runtime/explain/ledger.js";
import { erasedMostAt, keptAfter, memoryLedger, mostTelling, targetLedger } from "studio/runtime/explain/ledger.js";
import type { Explained } from "studio/state/explained.js";
import { shortToken, trackTitle } from "studio/state/run.js";
import type { View } from "studio/types.js";
import { useApp, useTyping } from "studio/ui/app.js";
import { exactly, percent, tick } from "studio/ui/draw.js";
import { AsTable, Button, Select } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { Stage } from "studio/ui/stage.js";
import { type ChartProps, type ChartRow, signed, WordChart } from "studio/ui/word-chart.js";

const HELP =
  "A memory is a sum over steps: what each one wrote (the candidate times the gate that admits it: i of an LSTM, 1-z of a GRU), times all the gates that kept it since (f, or z). This is " +
  "exact. Point at a word, or use Tab and the arrow keys, to follow what it wrote; press it to keep it selected. If the target is a sum " +
  "of memories, each part adds a known amount to it. What a step wrote depends on its gates, which other " +
  "words influenced: without one word, the others would have written something else.";

const NO_LAW =
  "A plain RNN has no ledger: it keeps nothing by addition. All of its state goes through the activation function at " +
  "each step, so no part of it can be followed.";

export function LedgerPanel() {
  const { store, view, question } = useApp();
  const pointed = useSignal<number | null>(null);
  const { explained } = question.value;
  const ledger = useComputed(() => {
    const now = question.value.explained;
    return now?.subject.cell.isAdditive ? sceneFor(now, view) : null;
  }).value;
  const scene = ledger && following(ledger, pointed.value ?? view.writer);
  const recorded = scene?.ledger.parts.every((part) => !Number.isNaN(part)) ? scene : null; // not in all traces
  return (
    <Panel
      {...{ id: "ledger", title: "Ledger: what wrote this memory", help: HELP, hidden: explained === null }}
      picture={() => recorded && <WrittenChart scene={recorded} width={1000} />}
      exports={{ csv: () => (scene ? ledgerRows(scene) : []) }}
      tools={scene && <MemoryControls scene={scene} />}
    >
      <p class="ledger-says" aria-live="polite">
        {recorded ? writerSentence(recorded) : scene ? unrecordedSentence(scene) : NO_LAW}
      </p>
      <Stage class="scroll ledger-stage" reveal=".asked" when={ledger}>
        {(width) =>
          recorded && (
            <WrittenChart
              {...{ scene: recorded, width }}
              press={(k) => store.set({ writer: view.writer === k ? -1 : k })}
              point={(k) => (pointed.value = k)}
            />
          )
        }
      </Stage>
      <div class="ledger-sum">{recorded && sumSentences(recorded).map((sentence) => <p>{sentence}</p>)}</div>
      {scene && <AsTable kind="ledger" rows={() => ledgerRows(scene)} />}
    </Panel>
  );
}

function WrittenChart({ scene, ...rest }: { scene: Scene } & Pick<ChartProps, "width" | "press" | "point">) {
  const { tokens } = scene.explained.subject;
  const columns = tokens.map((token, t) => ({ word: shortToken(token, 16), label: columnName(scene, token, t) }));
  return (
    <WordChart
      {...{ columns, rows: chartRows(scene), label: "What was written at each step", ...rest }}
      {...{ chosen: scene.writer, asked: scene.ledger.t }}
    />
  );
}

function columnName({ ledger, place }: Scene, token: string, t: number) {
  const s = ledger.steps.indexOf(t);
  const name = `${shortToken(token, 24)}, step ${t}`;
  return s < 0
    ? `${name}: not read yet`
    : `${name}: wrote ${signed(ledger.written[s])} into ${place}, of which ${signed(ledger.parts[s])} is left`;
}

function chartRows({ ledger, whole, place, writer, explained }: Scene): ChartRow[] {
  const { tokens, steps: T } = explained.subject;
  const [asked, wrote] = [ledger.t, writer].map((t) => `\u201c${shortToken(tokens[t], 16)}\u201d`);
  const over = (values: ArrayLike<number>, from: number) => {
    const all = new Float64Array(T).fill(NaN);
    ledger.steps.slice(from).forEach((t, s) => (all[t] = values[s]));
    return all;
  };
  const s = ledger.steps.indexOf(writer);
  const later = keptAfter(ledger, s).map((share) => share * ledger.written[s]);
  const rows: ChartRow[] = [
    { title: `Written into ${place} at ${wrote}, still there`, values: over(later, s), scale: "c" },
    {
      ...{ title: `Written at each ${explained.model.unit}, left in ${place} at ${asked}`, scale: "c" },
      values: over(ledger.parts, 0),
    },
  ];
  if (!Number.isNaN(ledger.effect)) {
    const added = ledger.parts.map((part) => part * ledger.effect);
    rows.push({ title: `Contribution to the ${explained.short}`, values: over(added, 0) });
  }
  if (whole !== null) {
    rows.push({ title: `All memories of the last layer: added to the ${explained.short}`, values: whole.parts });
  }
  return rows;
}

const TELLING =
  "The unit of the last layer whose memory of other steps adds most to the target or subtracts most from it: " +
  "the largest |effect \u00b7 what is kept|. If no other step is in memory, the largest |effect \u00b7 memory|";

function MemoryControls({ scene }: { scene: Scene }) {
  const { store } = useApp();
  const typing = useTyping(scene.unit); // pointing at words draws this again
  const { tracks, cell } = scene.explained.subject;
  const infos = tracks.map(({ info }) => info);
  const twoWays = infos.some(({ reverse }) => reverse);
  const choose = (track: string, unit: number) => store.set({ memory: `${track}.${cell.memory}[${unit}]` });
  const take = (unit: number) => {
    if (Number.isInteger(unit) && unit >= 0 && unit < infos[0].units) choose(scene.track, unit);
  };
  return (
    <>
      <Select
        label="Memory of"
        options={infos.map((info) => ({ value: info.name, text: `${info.name}: ${trackTitle(info, twoWays)}` }))}
        value={scene.track}
        choose={(track) => choose(track, scene.unit)}
      />
      <label class="field">
        <span>unit</span>
        <input
          {...{ type: "number", class: "ledger-unit", min: 0, max: infos[0].units - 1, step: 1 }}
          {...{ "aria-label": "Unit of the memory", ...typing }}
          onChange={({ currentTarget }) => take(currentTarget.valueAsNumber)}
        />
      </label>
      {scene.whole !== null && (
        <Button text="Most telling" title={TELLING} aria-pressed={scene.own} press={() => store.set({ memory: "" })} />
      )}
    </>
  );
}

const MOST_SHARES = 3; // number of later words whose shares are listed

const quoted = ({ explained }: Scene, t: number): string =>
  `\u201c${shortToken(explained.subject.tokens[t], 24)}\u201d`;

/** Describes what the followed word wrote, how much remains, what was erased and when, and what it adds. */
function writerSentence(scene: Scene): string {
  const { ledger, place, writer, unread } = scene;
  if (unread >= 0)
    return `${quoted(scene, unread)} is read after ${quoted(scene, ledger.t)} in ${scene.track}, so it has not written anything yet.`;
  const s = ledger.steps.indexOf(writer);
  const wrote = `At ${quoted(scene, writer)} ${exactly(ledger.written[s])} was written into ${place}.`;
  if (s === ledger.steps.length - 1)
    return `${wrote} The target is read at this step, so all of it is still there.${added(scene, s)}`;
  const left = `At ${quoted(scene, ledger.t)} ${percent(ledger.kept[s])} of it is left, ${exactly(ledger.parts[s])}.`;
  return `${wrote}${later(scene, s)} ${left}${erased(scene, s)}${added(scene, s)}`;
}

function added({ ledger, explained }: Scene, s: number) {
  if (Number.isNaN(ledger.effect)) return "";
  return ` That adds ${exactly(ledger.parts[s] * ledger.effect)} to the ${explained.linearName}.`;
}

/** Lists the shares that remain at the next words read. */
function later(scene: Scene, s: number) {
  const { ledger } = scene;
  const shares = keptAfter(ledger, s);
  const steps = ledger.steps.slice(s + 1, -1).slice(0, MOST_SHARES);
  const said = steps.map((t, k) => `${percent(shares[k + 1])} at ${quoted(scene, t)}`);
  return said.length > 0 ? ` Still there: ${said.join(", ")}.` : "";
}

function erased(scene: Scene, s: number) {
  const { ledger } = scene;
  const at = erasedMostAt(ledger, s);
  if (at < 0 || ledger.kept[s] > HELD) return "";
  const shares = keptAfter(ledger, s);
  const lost = shares[at - s - 1] - shares[at - s];
  return ` ${quoted(scene, ledger.steps[at])} erased most of it: ${percent(lost)} of what was written.`;
}

function sumSentences(scene: Scene): string[] {
  const { ledger, place, whole, explained } = scene;
  const sum = (values: Float64Array) => exactly(values.reduce((total, one) => total + one, 0));
  const memory =
    `${place} at ${quoted(scene, ledger.t)}: the remaining parts ${sum(ledger.parts)} and the initial state ${exactly(ledger.initial)} add up to ` +
    `${explained.subject.cell.memory} = ${exactly(ledger.value)}; rounding leaves ${tick(ledger.residual.toExponential(0))}.`;
  if (whole === null) return [memory];
  const target =
    `All memories of the last layer: ${explained.model.unit}s ${sum(whole.parts)}, initial state ${exactly(whole.initial)} and bias ` +
    `${exactly(whole.bias)} add up to the ${explained.linearName}, ${exactly(whole.value)}; rounding leaves ` +
    `${tick(whole.residual.toExponential(0))}. Each part is what was written at that step, though the layer below may have ` +
    "brought it there from other steps.";
  return [target, memory];
}

function ledgerRows({ ledger, explained, whole }: Scene): string[][] {
  const { tokens } = explained.subject;
  const wrote = `wrote ${explained.subject.cell.memory === "c" ? "i·g" : "(1-z)·n"}`;
  const more = ["still there", "left", "erased most at step", "adds to the target", "all units add"];
  const rows = ledger.steps.map((t, s) => {
    const at = erasedMostAt(ledger, s);
    const added = ledger.parts[s] * ledger.effect;
    const own = [ledger.written[s], ledger.kept[s], ledger.parts[s]].map(String);
    const rest = [at < 0 ? "" : String(ledger.steps[at]), Number.isNaN(added) ? "" : String(added)];
    return [String(t), tokens[t], ...own, ...rest, whole === null ? "" : String(whole.parts[t])];
  });
  return [["step", "word", wrote, ...more], ...rows.sort((a, b) => Number(a[0]) - Number(b[0]))];
}

function unrecordedSentence({ explained }: Scene): string {
  const { cell } = explained.subject;
  const needed = [...new Set([...cell.gates.filter((gate) => !"or".includes(gate)), cell.memory])];
  const named = `${needed.slice(0, -1).join(", ")} and ${needed.at(-1)}`;
  return `The ledger needs ${named} of that layer, and this trace does not have them all.`;
}

interface Memory {
  explained: Explained;
  track: string;
  unit: number;
  place: string; // "l1.c[125]"
  own: boolean; // whether it is the most telling memory
  ledger: Ledger;
  whole: TargetLedger | null; // null if the target is not a sum of memories
}

/** `writer`: the step to follow; `unread`: the chosen one if this direction reads it later; -1: none */
type Scene = Memory & { writer: number; unread: number };

const PLACE = /^(l\d+r?)\.([ch])\[(\d+)\]$/;

function sceneFor(explained: Explained, view: View): Memory {
  const { subject, target, linear } = explained;
  const readout = linear?.readout ?? null;
  const chosen = chosenMemory(explained, view.memory);
  const telling = chosen ?? (readout && mostTelling(subject, target.t, readout)) ?? viewed(explained, view);
  const { info } = subject.tracks[telling.k];
  const ledger = memoryLedger(subject, telling.k, telling.unit, target.t, readout);
  return {
    ...{ explained, track: info.name, unit: telling.unit, ledger },
    place: `${info.name}.${subject.cell.memory}[${telling.unit}]`,
    own: chosen === null,
    whole: readout && targetLedger(subject, target.t, readout),
  };
}

/** The step to follow: that which the user asks for if it was read, or else the earlier step of which most remains. */
function following(scene: Memory, asked: number): Scene {
  const { ledger, explained } = scene;
  const { steps, parts } = ledger;
  if (steps.includes(asked)) return { ...scene, writer: asked, unread: -1 };
  let best = 0;
  for (let s = 1; s < parts.length - 1; s++) if (Math.abs(parts[s]) > Math.abs(parts[best])) best = s;
  return { ...scene, writer: steps[best], unread: asked < explained.subject.steps ? asked : -1 };
}

function chosenMemory({ subject }: Explained, memory: string): { k: number; unit: number } | null {
  const [, name, state, unit] = PLACE.exec(memory) ?? [];
  const k = subject.tracks.findIndex(({ info }) => info.name === name);
  return state === subject.cell.memory && k >= 0 && Number(unit) < subject.tracks[k].info.units
    ? { k, unit: Number(unit) }
    : null;
}

function viewed({ subject }: Explained, { track, unit }: View) {
  const number = subject.tracks.findIndex(({ info }) => info.name === track);
  const k = Math.max(0, number);
  return { k, unit: Math.max(0, Math.min(unit, subject.tracks[k].info.units - 1)) };
}
