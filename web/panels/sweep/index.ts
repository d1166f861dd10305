// Sweep: shows how the target changes if one state comes from another text.

import { patchMap, strongest } from "studio/panels/sweep/map.js";
import { type Pair, type Sweep, differing, pairWith, sweeping } from "studio/panels/sweep/sweep.js";
import { cellSentence, editsOfPatch, MEANING, pairSentence, sweepRows } from "studio/panels/sweep/words.js";
import { explainedOf } from "studio/state/explained.js";
import { shortToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import type { Subject } from "studio/types.js";
import { element } from "studio/ui/draw.js";
import { button } from "studio/ui/fields.js";
import { panel } from "studio/ui/panel.js";
import { fit } from "studio/ui/svg-parts.js";
import { onTheme } from "studio/ui/theme.js";
import { keepNames, onResize, scrollTo } from "studio/ui/visibility.js";

const HELP =
  "Give a second text with the same number of words, such as this one with one word swapped. Each state of the second text is then patched " +
  "into the run of the first, one at a time, to see which one carries the difference to the target. Arrow keys move from " +
  "cell to cell; Enter opens the Read page with the patch as edits, and undo takes you back.";
const REST = 250; // milliseconds

export function mountSweep(app: App): HTMLElement {
  const { store, session } = app;
  let sweep: Sweep | null = null;
  const doings = {
    press: (n: number) => sweep && open(app, sweep, n),
    point: (n: number) => void (sweep && (parts.readout.textContent = cellSentence(sweep, n))),
  };
  const picture = () => (sweep?.effects ? patchMap(sweep, 1000, doings) : null);
  const { root, body, tools } = panel({
    ...{ id: "sweep", title: "Sweep: what if?", help: HELP },
    exports: { svg: picture, png: picture, csv: () => sweepRows(sweep) },
  });
  const parts = {
    here: element("p"),
    says: element("p", { class: "sweep-says", role: "status" }),
    stage: element("div", { class: "scroll sweep-stage" }),
    readout: element("p", { class: "sweep-readout", "aria-live": "polite" }),
    means: element("p", { class: "sweep-means", text: MEANING }),
  };
  const other = otherField(app);
  body.append(
    element("div", { class: "sweep-texts" }, [
      ...[element("span", { text: "this text" }), parts.here, element("span", { text: "the other" }), other.field],
    ]),
    ...[parts.says, parts.stage, parts.readout, parts.means],
  );
  const work = sweeping((now) => {
    const fresh = now.effects !== (sweep?.effects ?? null);
    sweep = now;
    controls.show(now);
    if (fresh) put(parts, now, doings);
  });
  const begin = () => {
    other.update();
    if (store.get().page !== "explain") return work.stop();
    const { explained } = explainedOf(session, store.get());
    root.hidden = explained === null;
    if (explained === null) return work.stop();
    const { pair, reason } = pairWith(explained, store.get().otherText || store.get().text);
    other.field.hidden = explained.subject.cells.length === 0;
    parts.here.replaceChildren(...markedTokens(explained.subject, pair));
    parts.says.textContent = pair ? pairSentence(pair) : reason;
    parts.means.hidden = pair === null;
    if (pair) return work.begin(pair);
    work.stop();
    sweep = null;
    clear(parts);
    return controls.show(null);
  };
  const controls = workControls(work.stop, () => begin());
  tools.append(controls.root);
  for (const event of ["run", "model", "error"] as const) session.on(event, begin);
  store.subscribe(["page", "step", "head", "label", "measure", "otherText"], begin);
  store.subscribe(["track", "unit"], () => sweep?.pair.explained.label === "" && begin());
  const redraw = () => void (sweep?.effects && put(parts, sweep, doings));
  onTheme(redraw);
  keepNames(parts.stage);
  onResize(parts.stage, redraw);
  begin();
  return root;
}

/** Opens the Read page with a patch in force. */
function open({ store }: App, sweep: Sweep, n: number) {
  const edits = editsOfPatch(sweep, n);
  if (edits.length === 0) return;
  const { track, quantity, t } = sweep.places[n];
  const { tracks, lead } = sweep.pair.explained.subject;
  const { name } = tracks[track].info;
  store.change({ page: "read", edits, track: name, quantity, step: t - lead }, `patch ${quantity} of ${name}`);
}

function clear({ stage, readout }: Record<"stage" | "readout", HTMLElement>) {
  stage.replaceChildren();
  readout.textContent = "";
}

function put(
  { stage, readout }: Record<"stage" | "readout", HTMLElement>,
  sweep: Sweep,
  doings: { press: (n: number) => void; point: (n: number) => void },
) {
  if (sweep.effects === null) return;
  const scrolled = stage.scrollLeft;
  const map = patchMap(sweep, stage.clientWidth, doings);
  stage.replaceChildren(map);
  fit(map);
  stage.scrollLeft = scrolled;
  scrollTo(stage, map.querySelector(".cell[tabindex='0']"));
  readout.textContent = cellSentence(sweep, strongest(sweep.effects));
}

/** The words of this text, with those that differ in the other text marked. */
function markedTokens(subject: Subject, pair: Pair | null): (HTMLElement | string)[] {
  const changed = new Set(pair ? differing(subject, pair.other) : []);
  const between = subject.tokens.slice(subject.lead).every((token) => [...token].length === 1) ? "" : " ";
  return subject.tokens.slice(subject.lead).flatMap((token, t) => {
    const shown = between === "" ? token : shortToken(token, 24);
    return [changed.has(t + subject.lead) ? element("mark", { text: shown }) : shown, between];
  });
}

function otherField({ store, session }: App): { field: HTMLTextAreaElement; update: () => void } {
  let resting: ReturnType<typeof setTimeout> | undefined;
  const read = () => {
    resting = undefined;
    store.set({ otherText: field.value });
  };
  const field = element("textarea", {
    ...{ class: "sweep-other", rows: 1, spellcheck: "false", autocomplete: "off", "aria-label": "The other text" },
    on: {
      input: () => {
        clearTimeout(resting);
        resting = setTimeout(read, Math.max(REST, 1.5 * session.took));
      },
    },
  });
  const update = () => {
    const text = store.get().otherText || store.get().text;
    if (resting === undefined && field.value !== text) field.value = text;
  };
  return { field, update };
}

function workControls(stop: () => void, again: () => void) {
  const bar = element("progress", { max: 1, "aria-label": "Progress of the sweep" });
  const halt = button("Stop", stop);
  const repeat = button("Continue", again);
  const root = element("div", { class: "sweep-work" }, [bar, halt, repeat]);
  const show = (sweep: Sweep | null) => {
    const busy = sweep !== null && sweep.share < 1;
    bar.hidden = halt.hidden = !busy;
    bar.value = sweep?.share ?? 0;
    repeat.hidden = !sweep?.stopped;
  };
  show(null);
  return { root, show };
}
