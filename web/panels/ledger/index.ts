// The ledger: shows which steps wrote a memory, how much of it remains at each later word, and what it adds to the
// target.

import { memoryControls } from "studio/panels/ledger/controls.js";
import { type Scene, following, isRecorded, sceneOf } from "studio/panels/ledger/memory.js";
import { ledgerRows, ledgerTable, sumSentences, writerSentence } from "studio/panels/ledger/words.js";
import { keptAfter } from "studio/runtime/explain/ledger.js";
import { explainedOf } from "studio/state/explained.js";
import { shortToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";
import { fit } from "studio/ui/svg-parts.js";
import { keepNames, onResize, scrollTo } from "studio/ui/visibility.js";
import { type Chart, type ChartRow, signed, wordChart } from "studio/ui/word-chart.js";

const HELP =
  "A memory is a sum over steps: what each one wrote (input gate times candidate; in a GRU 1-z times candidate), times all forget gates (z of a GRU) since. This is " +
  "exact. Point at a word, or use Tab and the arrow keys, to follow what it wrote; press it to keep it selected. If the target is a sum " +
  "of memories, each part adds a known amount to it. What a step wrote depends on its gates, which other " +
  "words influenced: without one word, the others would have written something else.";

const NO_LAW =
  "A plain RNN has no ledger: it keeps nothing by addition. All of its state goes through the activation function at " +
  "each step, so no part of it can be followed. An LSTM and a GRU have one.";

export function mountLedger(app: App): HTMLElement {
  const { store, session } = app;
  let scene: Scene | null = null;
  let chart: Chart | null = null;
  const picture = () =>
    scene && isRecorded(scene)
      ? chartOf(
          scene,
          1000,
          () => {},
          () => {},
        ).root
      : null;
  const { root, body, tools } = panel({
    ...{ id: "ledger", title: "Ledger: what wrote this memory" },
    help: HELP,
    exports: { svg: picture, png: picture, csv: () => (scene ? ledgerRows(scene) : []) },
  });
  const parts = {
    says: element("p", { class: "ledger-says", "aria-live": "polite" }),
    stage: element("div", { class: "scroll ledger-stage" }),
    sum: element("div", { class: "ledger-sum" }),
    table: element("details", { class: "ledger-more" }, [element("summary", { text: "As a table" })]),
  };
  const controls = memoryControls(app);
  tools.append(controls.root);
  body.append(parts.says, parts.stage, parts.sum, parts.table);
  const follow = (pointed: number | null) => {
    if (!scene || !chart) return;
    const found = following(scene, pointed ?? store.get().writer);
    if (found.writer === scene.writer && found.unread === scene.unread) return;
    scene = found;
    parts.says.textContent = writerSentence(scene);
    chart.show(chartRows(scene));
    chart.mark(scene.writer, scene.ledger.t);
  };
  const choose = (k: number) => store.set({ writer: store.get().writer === k ? -1 : k });
  const draw = () => {
    if (store.get().page !== "explain") return;
    const { explained } = explainedOf(session, store.get());
    const hasLaw = explained === null || explained.subject.cell.isAdditive;
    scene = explained && hasLaw ? sceneOf(explained, store.get()) : null;
    root.hidden = explained === null;
    for (const part of [controls.root, parts.stage, parts.sum, parts.table]) part.hidden = !hasLaw;
    if (!hasLaw) parts.says.textContent = NO_LAW;
    if (scene === null) return;
    controls.show(scene);
    chart = isRecorded(scene) ? chartOf(scene, parts.stage.clientWidth, choose, follow) : null;
    put(parts, scene, chart);
  };
  for (const event of ["run", "model", "error"] as const) session.on(event, draw);
  store.subscribe(["page", "step", "head", "label", "measure", "memory", "track", "unit"], draw);
  store.subscribe(["writer"], () => follow(null));
  keepNames(parts.stage);
  onResize(parts.stage, draw);
  parts.table.addEventListener("toggle", () => scene && fillTable(parts.table, scene));
  draw();
  return root;
}

/** @param chart null if the trace lacks some of its values */
function put(
  { says, stage, sum, table }: Record<"says" | "stage" | "sum" | "table", HTMLElement>,
  scene: Scene,
  chart: Chart | null,
) {
  const scrolled = stage.scrollLeft;
  says.textContent = chart === null ? unrecorded(scene) : writerSentence(scene);
  sum.replaceChildren(...(chart === null ? [] : sumSentences(scene).map((text) => element("p", { text }))));
  stage.replaceChildren(...(chart === null ? [] : [chart.root]));
  if (chart !== null) fit(chart.root);
  stage.scrollLeft = scrolled;
  scrollTo(stage, stage.querySelector(".asked"));
  fillTable(table, scene);
}

function unrecorded({ explained }: Scene) {
  const { cell } = explained.subject;
  const needed = [...new Set([...cell.gates.filter((gate) => !"or".includes(gate)), cell.memory])];
  const named = `${needed.slice(0, -1).join(", ")} and ${needed.at(-1)}`;
  return `The ledger needs ${named} of that layer, and this trace does not have them all.`;
}

function chartOf(scene: Scene, width: number, choose: (k: number) => void, point: (t: number | null) => void) {
  const { tokens } = scene.explained.subject;
  const rows = chartRows(scene);
  const columns = tokens.map((token, t) => ({ word: shortToken(token, 16), label: labelOf(scene, token, t) }));
  const chart = wordChart({ columns, rows, width, label: "What was written at each step" }, { choose, point });
  chart.mark(scene.writer, scene.ledger.t);
  return chart;
}

function labelOf({ ledger, place }: Scene, token: string, t: number) {
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
  if (Number.isNaN(ledger.effect)) return whole === null ? rows : [...rows, wholeRow(explained.short, whole.parts)];
  const added = ledger.parts.map((part) => part * ledger.effect);
  rows.push({ title: `Contribution to the ${explained.short}`, values: over(added, 0) });
  return whole === null ? rows : [...rows, wholeRow(explained.short, whole.parts)];
}

function wholeRow(name: string, parts: Float64Array): ChartRow {
  return { title: `All memories of the last layer: added to the ${name}`, values: parts };
}

function fillTable(details: HTMLElement, scene: Scene) {
  details.querySelector(".scroll")?.remove();
  if (details.hasAttribute("open")) details.append(element("div", { class: "scroll" }, [ledgerTable(scene)]));
}
