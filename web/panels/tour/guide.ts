// The course of the tour: the current step, what is finished, and what to restore.

import { signal } from "@preact/signals";
import { h } from "preact";
import { bringIntoView, freeBeside, type Light, litBoxes } from "studio/panels/tour/spotlight.js";
import { CELL } from "studio/panels/tour/steps-cell.js";
import { EDIT, Ends, lastWords, TIME } from "studio/panels/tour/steps-time.js";
import { GATES } from "studio/panels/tour/steps-gates.js";
import type { Now, Scene, Step } from "studio/panels/tour/types.js";
import type { App } from "studio/state/types.js";
import type { View } from "studio/types.js";
import { windowSize } from "studio/ui/visibility.js";

export const STEPS: readonly Step[] = [...GATES, ...CELL, ...TIME, EDIT];
const END = STEPS.length;
const SETTLING = 1500; // milliseconds during which a newly opened page may still grow

interface Visit {
  index: number; // END at the end
  memory: Record<string, any>;
  kept: Partial<View>; // the values to restore
  done: boolean;
  panels: string; // the highlighted ones, by id
}

type Reason = { title: string; says: string };

const UNREAD: Reason = {
  title: "Nothing has been read yet",
  says: "The tour follows the model's reading, step by step. It starts as soon as the model has something to read.",
};
const OTHER_CELL: Reason = {
  title: "Only with an LSTM",
  says: "The tour explains the gates and the cell state of an LSTM, which this model does not have. Open an LSTM.",
};
const LACKING: Reason = {
  title: "Not with this trace",
  says:
    "The tour needs i, f, g, o, c and h at every step, and this recorded trace does not have them all. " +
    "Open one that does, or a model.",
};

/** @returns null if there is a tour: a run with all values that it needs, some of which a trace may lack */
function reasonAgainst({ plain, model }: App["session"]): Reason | null {
  if (model && model.cell.label !== "LSTM") return OTHER_CELL;
  if (!plain || !model) return UNREAD;
  const needed = [...model.gates, ...model.cell.states];
  const isWhole = plain.tracks.every(({ values }) => needed.every((name) => Number.isFinite(values[name]?.[0])));
  return plain.steps && isWhole ? null : LACKING;
}

const panelsOf = ({ panels }: Step, now: Now) => panels?.(now) ?? [];

export class Guide {
  scene = signal<Scene | null>(null); // what the card shows; null without a tour
  light = signal<Light>({ size: [0, 0], boxes: [] });
  card: { current: HTMLElement | null } = { current: null };
  visit: Visit | null = null;
  finished = new Set<number>();
  #found: Partial<View> | null = null; // the view that the tour found, to be restored
  #refused: Reason | null = null; // why there is no tour, as shown on the card
  #resumeAt = 0;
  #frame = 0;
  #scroll = false;

  constructor(private app: App) {}

  go(tour: number) {
    this.app.store.set({ tour: tour > END ? -1 : Math.max(0, tour) });
  }

  close() {
    this.app.store.set({ tour: -1 });
  }

  /** Moves the tour to the view's step: starts, continues or ends it. */
  sync() {
    const { store, session } = this.app;
    const tour = Math.min(store.get().tour, END);
    if (tour < 0) return this.#leave();
    if (!this.scene.peek() && tour === 0 && this.#resumeAt > 0) return this.go(this.#resumeAt);
    if (this.visit?.index === tour || !session.model) return;
    const { edits, quantity, page } = store.get();
    this.#found ??= { edits, quantity, page };
    document.body.classList.add("touring");
    this.#restore();
    const reason = reasonAgainst(session);
    if (reason) return this.#refuse(reason);
    this.#refused = null;
    if (tour < END) this.#enter(tour);
    else this.#end();
    this.aim(true);
  }

  #leave() {
    if (!this.scene.peek()) return;
    const held = this.card.current?.contains(document.activeElement);
    this.#restore();
    this.app.store.set(this.#found ?? {});
    this.#found = this.visit = this.#refused = this.scene.value = null;
    document.body.classList.remove("touring");
    if (held) document.querySelector<HTMLElement>(".tour-button")?.focus({ preventScroll: true });
  }

  /** Restores what the last step changed. */
  #restore() {
    if (this.visit) this.app.store.set(this.visit.kept);
    this.app.store.flush();
  }

  #enter(index: number) {
    const { store } = this.app;
    const step = STEPS[index];
    const view = store.get();
    const kept = Object.fromEntries((step.restores ?? []).map((key) => [key, view[key]]));
    this.visit = { index, memory: {}, kept, done: false, panels: "" };
    this.#resumeAt = index;
    store.set({ edits: [], ...step.sets(this.#now(this.visit) as Now) });
    store.flush();
    const now = this.#now(this.visit) as Now;
    this.#show({
      index,
      count: `Tour, step ${index + 1} of ${END}`,
      title: step.title,
      work: step.work?.(now, () => this.update()),
    });
    this.update();
  }

  #refuse(reason: Reason) {
    if (this.#refused === reason) return; // a user who is typing keeps the focus
    [this.visit, this.#refused] = [null, reason];
    this.#show({ isRefused: true, count: "Tour", title: reason.title }, [reason.says]);
    this.aim(false);
  }

  #end() {
    this.visit = { index: END, memory: {}, kept: {}, done: true, panels: "" };
    this.#resumeAt = 0;
    const open = (page: View["page"]) => {
      this.#found = { ...this.#found, page };
      this.close();
    };
    const [title, work] = ["That is all there is to an LSTM", h(Ends, { open })];
    this.#show({ count: "The tour is done", title, work }, lastWords(this.app.session.model));
  }

  #show(scene: Pick<Scene, "count" | "title"> & Partial<Scene>, says: Scene["texts"]["says"] = []) {
    const texts = { says, task: "", status: "", learnt: "" };
    this.scene.value = {
      ...{ entered: performance.now(), index: END, isRefused: false, hasPanel: false, work: null, texts },
      ...scene,
    };
  }

  /** The argument that a step receives; null until the model has run. */
  #now({ index, memory }: Visit): Now | null {
    const { session, store } = this.app;
    const { model, plain } = session;
    if (index === END || !model || !plain || reasonAgainst(session)) return null;
    return { app: this.app, model, run: plain, view: store.get(), memory };
  }

  /** Checks whether the step is done, and updates its texts. */
  update() {
    const { visit } = this;
    const now = visit && this.#now(visit);
    const scene = this.scene.peek();
    if (!now || !scene) return;
    const step = STEPS[visit.index];
    step.watch?.(now);
    visit.done ||= step.done(now);
    if (visit.done) this.finished.add(visit.index);
    const texts = {
      says: step.says(now).filter(Boolean),
      task: step.task(now),
      status: step.status?.(now) ?? "",
      learnt: visit.done ? step.learnt(now) : "",
    };
    const panels = panelsOf(step, now).join(" ");
    const isNew = panels !== visit.panels || JSON.stringify(texts) !== JSON.stringify(scene.texts);
    if (isNew) this.scene.value = { ...scene, texts, hasPanel: panels !== "" };
    if (panels !== visit.panels) this.aim(true);
    else if (isNew) this.aim(false);
    visit.panels = panels;
  }

  #panels(): HTMLElement[] {
    const { visit } = this;
    const now = visit && this.#now(visit);
    if (!now) return [];
    return panelsOf(STEPS[visit.index], now)
      .map((id) => document.getElementById(id))
      .filter((panel) => panel?.offsetParent != null) as HTMLElement[];
  }

  /** Highlights the panels in the next frame, and perhaps scrolls to them. */
  aim(scroll: boolean) {
    this.#scroll ||= scroll;
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      const { current } = this.card;
      if (!current) return;
      const panels = this.#panels();
      const free = freeBeside(current);
      if (this.#scroll) bringIntoView(panels, free);
      this.#scroll = false;
      this.light.value = { size: windowSize(), boxes: litBoxes(panels, free) };
    });
  }

  /** Follows a page that was scrolled or that has grown. */
  follow(hasGrown = false) {
    const scene = this.scene.peek();
    if (this.visit && scene) this.aim(hasGrown && performance.now() - scene.entered < SETTLING);
  }

  showPanel() {
    const [panel] = this.#panels();
    panel?.querySelector<HTMLElement>("[tabindex='0'], input, textarea, select")?.focus();
    this.aim(true);
  }

  /** Moves the focus between the card and the panel, for keyboard users. */
  toggleFocus() {
    if (this.card.current?.contains(document.activeElement)) this.showPanel();
    else this.card.current?.querySelector("h2")?.focus();
  }
}
