// The distribution at the cursor. A few labels are shown as columns in a fixed order, so that steps can be compared by
// eye; if there are many, the likeliest are listed. For a model without predictions, the strongest units of the hidden
// state are listed.

import { columns } from "studio/panels/sentence/columns.js";
import { rows } from "studio/panels/sentence/rows.js";
import type { Chart } from "studio/panels/sentence/types.js";
import { headOf, likeliest, predictionAt } from "studio/state/predictions.js";
import { shortToken, shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { trackOf, widthOf } from "studio/state/units.js";
import type { Head, Run, Track, View } from "studio/types.js";
import { element } from "studio/ui/draw.js";

const MOST_COLUMNS = 24;
const ROWS = 6;

export function createDistribution(app: App): { root: HTMLElement } {
  const { store, session } = app;
  const says = element("p", { class: "says", "aria-live": "polite" });
  const root = element("div", { class: "distribution" }, [says]);
  let chart: Chart | null = null;
  let form = "";
  const update = () => {
    const { run } = session;
    root.hidden = run === null;
    if (run === null) return;
    const view = store.get();
    const head = headOf(run, view.head);
    const fixed = inColumns(run, head);
    const wanted = fixed ? fixed.labels.join("\n") : `rows ${head === null}`;
    if (wanted !== form) {
      chart?.root.remove();
      chart = fixed ? columns(fixed.labels) : rows(ROWS, head === null);
      root.append(chart.root);
      form = wanted;
    }
    says.replaceChildren(
      ...(head ? sentence(run, head, view.step) : [`Hidden state h of ${view.track} at step ${view.step}`]),
    );
    draw(chart as Chart, app, run, head, view);
  };
  session.on("run", update);
  store.subscribe(["step", "head", "track"], update);
  return { root };
}

/**
 * Whether to show columns. A tagger's labels are shown as columns if there are few; next tokens are easier to read as
 * a
 * list.
 */
function inColumns(run: Run, head: Head | null): Head | null {
  return head && run.surprise === null && head.labels.length <= MOST_COLUMNS ? head : null;
}

function draw(chart: Chart, { store }: App, run: Run, head: Head | null, { step, track }: View) {
  if (head === null) {
    const units = strongest(trackOf(run, track), step, ROWS);
    const choose = (unit: number) => () => store.set({ unit });
    return chart.update(
      units.map(({ unit, value }) => ({ label: `unit ${unit}`, value, click: choose(unit) })),
      -1,
    );
  }
  const K = head.labels.length;
  if (!inColumns(run, head)) {
    const best = likeliest(head, step, Math.min(K, ROWS - 1));
    const rest = 1 - best.reduce((sum, { probability }) => sum + probability, 0);
    const bars = best.map(({ label, probability }) => ({ label: shortToken(label, 16), value: probability }));
    const others = { label: `${K - best.length} others`, value: Math.max(0, rest) };
    return chart.update(K > best.length ? [...bars, others] : bars, 0);
  }
  const row = head.probabilities.subarray(step * K, (step + 1) * K);
  return chart.update(
    head.labels.map((label, k) => ({ label, value: row[k] })),
    head.chosen[step],
  );
}

function sentence(run: Run, head: Head, step: number): (Node | string)[] {
  const { label, probability } = predictionAt(head, step);
  const token = element("b", { class: "says-token", text: shortToken(run.tokens[step], 20) });
  const said = element("b", { text: shownToken(label) });
  const number = element("span", { class: "number", text: probability.toFixed(4) });
  if (run.surprise) return ["After ", token, " it expects ", said, " ", number];
  return [token, " is ", said, " ", number];
}

function strongest(track: Track, t: number, most: number): { unit: number; value: number }[] {
  const width = widthOf(track.info, "h");
  const row = track.values.h.subarray(t * width, (t + 1) * width);
  const units = Array.from(row, (value, unit) => ({ unit, value }));
  return units.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, most);
}
