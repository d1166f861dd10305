// Describes the ledger in words and numbers: what a word wrote, how much remains, what it adds, the sums, and a table.

import { HELD } from "studio/facts.js";
import type { Scene } from "studio/panels/ledger/memory.js";
import { erasedMostAt, keptAfter } from "studio/runtime/explain/ledger.js";
import { shortToken, shownToken } from "studio/state/tokens.js";
import { exactly, percent, tick } from "studio/ui/draw.js";

const MOST_SHARES = 3; // number of later words whose shares are listed

function quoted({ explained }: Scene, t: number): string {
  return `\u201c${shortToken(explained.subject.tokens[t], 24)}\u201d`;
}

/** Describes what the followed word wrote, how much remains, what was erased and when, and what it adds. */
export function writerSentence(scene: Scene): string {
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

/** Describes the sums of the ledger. */
export function sumSentences({ ledger, place, whole, explained }: Scene): string[] {
  const sum = (values: Float64Array) => exactly(values.reduce((total, one) => total + one, 0));
  const word = `\u201c${shortToken(explained.subject.tokens[ledger.t], 24)}\u201d`;
  const memory =
    `${place} at ${word}: the remaining parts ${sum(ledger.parts)} and the initial state ${exactly(ledger.initial)} add up to ` +
    `${explained.subject.cell.memory} = ${exactly(ledger.value)}; rounding leaves ${tick(ledger.residual.toExponential(0))}.`;
  if (whole === null) return [memory];
  const target =
    `All memories of the last layer: ${explained.model.unit}s ${sum(whole.parts)}, initial state ${exactly(whole.initial)} and bias ` +
    `${exactly(whole.bias)} add up to the ${explained.linearName}, ${exactly(whole.value)}; rounding leaves ` +
    `${tick(whole.residual.toExponential(0))}. Each part is what was written at that step, though the layer below may have ` +
    "brought it there from other steps.";
  return [target, memory];
}

export function ledgerRows({ ledger, explained, whole }: Scene): string[][] {
  const { tokens } = explained.subject;
  const top = [
    "step",
    "word",
    `wrote ${explained.subject.cell.memory === "c" ? "i·g" : "(1-z)·n"}`,
    "still there",
    "left",
    "erased most at step",
    "adds to the target",
    "all units add",
  ];
  const rows = ledger.steps.map((t, s) => {
    const at = erasedMostAt(ledger, s);
    const added = ledger.parts[s] * ledger.effect;
    const own = [ledger.written[s], ledger.kept[s], ledger.parts[s]].map(String);
    const rest = [at < 0 ? "" : String(ledger.steps[at]), Number.isNaN(added) ? "" : String(added)];
    return [String(t), tokens[t], ...own, ...rest, whole === null ? "" : String(whole.parts[t])];
  });
  return [top, ...rows.sort((a, b) => Number(a[0]) - Number(b[0]))];
}

/** The rows, as short as the page shows them. */
export function shortRows(scene: Scene): string[][] {
  const [head, ...rows] = ledgerRows(scene);
  const short = (cell: string, k: number) =>
    k === 1 ? shownToken(cell) : /\d[.e]/.test(cell) ? tick(Number(cell).toFixed(4)) : cell;
  return [head, ...rows.map((row) => row.map(short))];
}

/** Names what a trace would have to hold. */
export function unrecordedSentence({ explained }: Scene): string {
  const { cell } = explained.subject;
  const needed = [...new Set([...cell.gates.filter((gate) => !"or".includes(gate)), cell.memory])];
  const named = `${needed.slice(0, -1).join(", ")} and ${needed.at(-1)}`;
  return `The ledger needs ${named} of that layer, and this trace does not have them all.`;
}
