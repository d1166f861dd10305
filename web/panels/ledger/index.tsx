// The ledger: shows which steps wrote a memory, how much of it remains at each later word, and what it adds to the
// target.

import { useComputed, useSignal } from "@preact/signals";
import { MemoryControls } from "studio/panels/ledger/controls.js";
import { type Scene, following, isRecorded, sceneFor } from "studio/panels/ledger/memory.js";
import { ledgerRows, shortRows, sumSentences, unrecordedSentence, writerSentence } from "studio/panels/ledger/words.js";
import { keptAfter } from "studio/runtime/explain/ledger.js";
import { shortToken } from "studio/state/tokens.js";
import { useApp } from "studio/ui/app.js";
import { Table } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { Stage } from "studio/ui/stage.js";
import { type ChartRow, WordChart, signed } from "studio/ui/word-chart.js";

const HELP =
  "A memory is a sum over steps: what each one wrote (input gate times candidate; in a GRU 1-z times candidate), times all forget gates (z of a GRU) since. This is " +
  "exact. Point at a word, or use Tab and the arrow keys, to follow what it wrote; press it to keep it selected. If the target is a sum " +
  "of memories, each part adds a known amount to it. What a step wrote depends on its gates, which other " +
  "words influenced: without one word, the others would have written something else.";

const NO_LAW =
  "A plain RNN has no ledger: it keeps nothing by addition. All of its state goes through the activation function at " +
  "each step, so no part of it can be followed. An LSTM and a GRU have one.";

export function LedgerPanel() {
  const { store, view, question } = useApp();
  const pointed = useSignal<number | null>(null);
  const opened = useSignal(false);
  const { explained } = question.value;
  const ledger = useComputed(() => {
    const now = question.value.explained;
    return now?.subject.cell.isAdditive ? sceneFor(now, view) : null;
  }).value;
  const scene = ledger && following(ledger, pointed.value ?? view.writer);
  const recorded = scene && isRecorded(scene) ? scene : null;
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
      {scene && (
        <details class="ledger-more" onToggle={({ currentTarget }) => (opened.value = currentTarget.open)}>
          <summary>As a table</summary>
          <div class="scroll">{opened.value && <Table class="ledger-table" rows={shortRows(scene)} />}</div>
        </details>
      )}
    </Panel>
  );
}

/** What was written at each step, and what is left of it. */
function WrittenChart({
  scene,
  ...rest
}: {
  scene: Scene;
  width: number;
  press?: (k: number) => void;
  point?: (k: number | null) => void;
}) {
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
      title: `Written at each ${explained.model.unit}, left in ${place} at ${asked}`,
      values: over(ledger.parts, 0),
      scale: "c",
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
