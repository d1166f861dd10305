// Attribution: occlusion of every word, and exact Shapley values of the words nearest to the target.

import { type Found, attributions } from "studio/panels/attribution/work.js";
import {
  attributionRows,
  disagreementSentence,
  disagreements,
  meaningSentences,
  shapleyOf,
  sumSentence,
} from "studio/panels/attribution/words.js";
import { MOST_PLAYERS } from "studio/runtime/explain/shapley.js";
import { explainedOf } from "studio/state/explained.js";
import { shortToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { View } from "studio/types.js";
import { segments } from "studio/ui/controls.js";
import { element } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";
import { panel } from "studio/ui/panel.js";
import { fit } from "studio/ui/svg-parts.js";
import { keepNames, onResize, scrollTo } from "studio/ui/visibility.js";
import { signed, wordChart } from "studio/ui/word-chart.js";

const HELP =
  "How much each word contributes to the target. Occlusion replaces one word at a time. Exact Shapley values replace " +
  `every subset of words, so their cost doubles with each word: they are limited to ${MOST_PLAYERS} words, the ` +
  "nearest to the word being explained. You can stop them at any time. Press a word to explain it.";

const PLAYERS: { value: View["players"]; text: string }[] = [
  { value: "words", text: "Words" },
  { value: "steps", text: "Characters" },
];

export function mountAttribution(app: App): HTMLElement {
  const { store, session } = app;
  let found: Found | null = null;
  const picture = () => (found?.occlusion ? chartOf(found, 1000, () => {}).root : null);
  const { root, body, tools } = panel({
    ...{ id: "attribution", title: "Attribution: which words decided", help: HELP },
    exports: { svg: picture, png: picture, csv: () => (found ? attributionRows(found) : []) },
  });
  const parts = {
    says: element("p", { class: "attribution-says", role: "status" }),
    stage: element("div", { class: "scroll attribution-stage" }),
    means: element("div", { class: "attribution-means" }),
  };
  const show = (now: Found) => {
    const before = found;
    found = now;
    controls.show(now);
    if (before === null || before.share === 0 || isNews(before, now)) put(parts, now, (k) => choose(app, now, k));
  };
  const work = attributions(show);
  const controls = workControls(app, work.stop, () => begin());
  tools.append(controls.root);
  body.append(parts.says, parts.stage, parts.means);
  const begin = () => {
    if (store.get().page !== "explain") return work.stop();
    const { explained } = explainedOf(session, store.get());
    root.hidden = explained === null;
    if (explained === null) return work.stop();
    if (explained.subject.cells.length > 0) return work.begin(explained, store.get());
    parts.says.textContent =
      "A recorded trace has no weights and can't be run again, so no word can be replaced in it.";
  };
  for (const event of ["run", "model", "error"] as const) session.on(event, begin);
  store.subscribe(["page", "step", "head", "label", "measure", "method", "players"], begin);
  store.subscribe(["track", "unit"], () => found?.explained.label === "" && begin());
  keepNames(parts.stage);
  onResize(parts.stage, () => found && put(parts, found, (k) => found && choose(app, found, k)));
  begin();
  return root;
}

function isNews(before: Found, now: Found) {
  return before.occlusion !== now.occlusion || before.shapley !== now.shapley || before.problem !== now.problem;
}

/** Chooses the word of a column as the word to explain. */
function choose({ store }: App, { players, explained }: Found, k: number) {
  const { lead, steps } = explained.subject;
  store.set({ step: Math.max(0, Math.min(players[k].stop - 1 - lead, steps - lead - 1)) });
}

function put(
  { says, stage, means }: Record<"says" | "stage" | "means", HTMLElement>,
  found: Found,
  press: (k: number) => void,
) {
  const line = found.problem || [sumSentence(found), disagreementSentence(found)].filter(Boolean).join(" ");
  if (says.textContent !== line) says.textContent = line;
  if (found.occlusion === null) return; // the old content stays until there is something new
  const scrolled = stage.scrollLeft;
  const focused = stage.contains(document.activeElement) ? document.activeElement?.getAttribute("data-column") : null;
  const chart = chartOf(found, stage.clientWidth, press);
  stage.replaceChildren(chart.root);
  fit(chart.root);
  stage.scrollLeft = scrolled;
  if (!focused) scrollTo(stage, stage.querySelector(".asked"));
  if (focused) (chart.root.querySelector(`[data-column="${focused}"]`) as SVGElement | null)?.focus();
  means.replaceChildren(...meaningSentences(found).map((text) => element("p", { text })));
}

function chartOf(found: Found, width: number, press: (k: number) => void) {
  const { players, few, occlusion, shapley, explained } = found;
  const { t } = explained.target;
  const differ = disagreements(found).map((p) => few[p]);
  const gone = occlusion?.parts ?? [];
  const shares = players.map((player) => shapleyOf(found, player) ?? NaN);
  const columns = players.map((player, p) => {
    const mark = differ.includes(player) ? " \u2260" : "";
    const value = Number.isNaN(shares[p]) ? "" : `, Shapley value ${signed(shares[p])}`;
    return { word: shortToken(player.name, 16) + mark, label: `${player.name}: occlusion ${signed(gone[p])}${value}` };
  });
  const rows = [{ title: "Occlusion: loss without it", values: gone, scale: "part" }];
  if (shapley !== null) rows.push({ title: "Shapley value", values: Float64Array.from(shares), scale: "part" });
  const chart = wordChart(
    { columns, rows, width, label: "Which words decided the result" },
    { choose: press, point: () => {} },
  );
  chart.mark(
    -1,
    players.findIndex(({ start, stop }) => start <= t && t < stop),
  );
  return chart;
}

function workControls(
  { store }: App,
  stop: () => void,
  again: () => void,
): { root: HTMLElement; show: (found: Found) => void } {
  const players = segments("Replace", PLAYERS, (chosen) => store.set({ players: chosen }));
  const bar = element("progress", { max: 1, "aria-label": "Progress" });
  const halt = button("Stop", stop);
  const compute = button("", () => {
    if (store.get().method === "shapley") again();
    else store.set({ method: "shapley" });
  });
  const alone = button("Only occlusion", () => store.set({ method: "occlusion" }));
  const root = element("div", { class: "attribution-work" }, [players.root, compute, alone, bar, halt]);
  const show = (found: Found) => {
    const busy = found.share < 1;
    players.root.hidden = found.explained.model.unit !== "character";
    players.show(store.get().players);
    bar.hidden = halt.hidden = !busy;
    bar.value = found.share;
    const wanted = store.get().method === "shapley";
    compute.textContent = wanted ? "Compute again" : "Compute exact Shapley values";
    compute.hidden = busy || (wanted && found.shapley !== null);
    alone.hidden = !wanted || busy;
  };
  return { root, show };
}
