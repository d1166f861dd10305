// The guided tour: ten steps on the real page, each with something to do. It can be left and resumed at any time.

import { type Texts, createCard } from "studio/panels/tour/card.js";
import { equationsOfCell } from "studio/panels/tour/equations.js";
import { type Reason, canTour, reasonAgainst } from "studio/panels/tour/reasons.js";
import { type Box, bringIntoView, litBoxes, createSpotlight, placeCard } from "studio/panels/tour/spotlight.js";
import { STEPS } from "studio/panels/tour/steps.js";
import type { Now, Step } from "studio/panels/tour/types.js";
import type { App } from "studio/state/types.js";
import type { View } from "studio/types.js";
import { element } from "studio/ui/draw.js";

const WATCHED = ["step", "unit", "track", "quantity", "edits", "page", "text", "head", "gate", "zoom"] as const;
const SETTLING = 1500; // milliseconds during which a newly opened page may still grow

/** A visit to a step. */
interface Visit {
  index: number;
  step: Step;
  memory: Record<string, any>;
  kept: Partial<View>; // the values to restore
  done: boolean;
  panels: string; // the highlighted ones, by id
}

/** The state of the tour: the current step, the finished ones, and the values to restore. */
class Tour {
  app: App;
  light: { root: HTMLElement; light: (boxes: Box[]) => void };
  card: {
    root: HTMLElement;
    show(index: number, finished: Set<number>, work: HTMLElement | null, hasPanel: boolean): void;
    write(texts: Texts): boolean;
    finish({ go, equations }: { go: (page: "read" | "compare" | "structure") => void; equations: string[] }): void;
    refuse({ title, says }: { title: string; says: string }): void;
  };
  root: HTMLDivElement;
  visit: Visit | null;
  found: Partial<View> | null; // the view that the tour found, to be restored
  finished: Set<number>;
  refused: Reason | null; // why there is no tour, as shown on the card
  resumeAt: number;
  frame: number;
  entered: number;
  scroll: boolean;

  constructor(app: App) {
    this.app = app;
    this.light = createSpotlight();
    this.card = createCard(
      STEPS.map(({ title }) => title),
      {
        go: (tour) => this.go(tour),
        leave: () => app.store.set({ tour: -1 }),
        showPanel: () => this.showPanel(),
      },
    );
    this.root = element("div", { id: "tour", class: "tour", hidden: true }, [this.light.root, this.card.root]);
    this.visit = null;
    this.found = null;
    this.finished = new Set();
    this.refused = null;
    this.resumeAt = 0;
    this.frame = 0;
    this.entered = 0;
    this.scroll = false;
  }

  go(tour: number) {
    this.app.store.set({ tour: tour > STEPS.length ? -1 : Math.max(0, tour) });
  }

  /** Moves the tour to the view's step: starts, continues or ends it. */
  sync() {
    const tour = Math.min(this.app.store.get().tour, STEPS.length);
    if (tour < 0) return this.leave();
    if (this.root.hidden && tour === 0 && this.resumeAt > 0) return this.go(this.resumeAt);
    const { model } = this.app.session;
    if (this.visit?.index === tour || !model) return;
    this.begin();
    this.restore();
    const why = reasonAgainst(this.app.session);
    if (why) return this.refuse(why);
    this.refused = null;
    if (tour < STEPS.length) this.enter(tour);
    else this.end();
    this.aim(true);
  }

  begin() {
    const { edits, quantity, page } = this.app.store.get();
    this.found ??= { edits, quantity, page };
    this.root.hidden = false;
    document.body.classList.add("touring");
  }

  leave() {
    if (this.root.hidden) return;
    const held = this.card.root.contains(document.activeElement);
    this.restore();
    this.app.store.set(this.found ?? {});
    [this.found, this.visit, this.refused, this.root.hidden] = [null, null, null, true];
    document.body.classList.remove("touring");
    const button = document.querySelector(".tour-button");
    if (held && button instanceof HTMLElement) button.focus({ preventScroll: true });
  }

  /** Restores what the last step changed. */
  restore() {
    if (this.visit) this.app.store.set(this.visit.kept);
    this.app.store.flush();
  }

  enter(index: number) {
    const step = STEPS[index];
    const view = this.app.store.get();
    const kept = Object.fromEntries(step.restores.map((key) => [key, view[key]]));
    const visit: Visit = { index, step, memory: {}, kept, done: false, panels: "" };
    this.visit = visit;
    this.resumeAt = index;
    this.entered = performance.now();
    this.app.store.set({ edits: [], ...step.sets(this.now(visit.memory) as Now) });
    this.app.store.flush();
    const now = this.now(visit.memory) as Now;
    this.card.show(index, this.finished, step.work?.(now, () => this.update()) ?? null, step.panels(now).length > 0);
    this.update();
  }

  /** @param why there is no tour */
  refuse(why: Reason) {
    if (this.refused === why) return; // a user who is typing keeps the focus
    [this.visit, this.refused] = [null, why];
    this.card.refuse(why);
    this.aim(false);
  }

  end() {
    this.visit = { index: STEPS.length, step: STEPS[STEPS.length - 1], memory: {}, kept: {}, done: true, panels: "" };
    this.resumeAt = 0;
    const { model } = this.app.session;
    this.card.finish({
      equations: equationsOfCell(model),
      go: (page) => {
        this.found = { ...this.found, page };
        this.app.store.set({ tour: -1 });
      },
    });
  }

  /** The argument that a step receives; null until the model has run. */
  now(memory: Record<string, any>): Now | null {
    const { session, store } = this.app;
    if (!session.model || !session.plain || !canTour(session)) return null;
    return { app: this.app, model: session.model, run: session.plain, view: store.get(), memory };
  }

  /** Checks whether the step is done, and updates its texts. */
  update() {
    const { visit } = this;
    const now = visit && visit.index < STEPS.length ? this.now(visit.memory) : null;
    if (!visit || !now) return;
    const { step } = visit;
    step.watch?.(now);
    if (!visit.done && step.done(now)) {
      visit.done = true;
      this.finished.add(visit.index);
    }
    const learnt = visit.done ? step.learnt(now) : "";
    const written = this.card.write({
      says: step.says(now),
      task: step.task(now),
      status: step.status?.(now) ?? "",
      learnt,
    });
    const panels = step.panels(now).join(" ");
    if (panels !== visit.panels) this.aim(true);
    else if (written) this.aim(false);
    visit.panels = panels;
  }

  panels(): HTMLElement[] {
    const now = this.visit && this.visit.index < STEPS.length ? this.now(this.visit.memory) : null;
    const ids = now ? (this.visit as Visit).step.panels(now) : [];
    return ids
      .map((id) => document.getElementById(id))
      .filter((panel) => panel !== null)
      .filter((panel) => panel.offsetParent !== null);
  }

  /** Highlights the panels and puts the card beside them in the next frame. */
  aim(scroll: boolean) {
    this.scroll ||= scroll;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      if (this.root.hidden) return;
      const panels = this.panels();
      const free = placeCard(this.card.root, panels);
      if (this.scroll) bringIntoView(panels, free);
      this.scroll = false;
      this.light.light(litBoxes(panels, free));
    });
  }

  showPanel() {
    const [panel] = this.panels();
    const inside = panel?.querySelector("[tabindex='0'], input, textarea, select");
    if (inside instanceof HTMLElement) inside.focus();
    this.aim(true);
  }

  /** Moves the focus between the card and the panel, for keyboard users. */
  toggleFocus() {
    if (this.card.root.contains(document.activeElement)) this.showPanel();
    else this.card.root.querySelector("h2")?.focus();
  }
}

export function mountTour(app: App): HTMLElement {
  const { store, session } = app;
  const tour = new Tour(app);
  store.subscribe(["tour"], () => tour.sync());
  store.subscribe([...WATCHED], () => tour.update());
  session.on("model", () => (tour.visit = null));
  session.on("run", () => (tour.visit ? tour.update() : tour.sync()));
  for (const event of ["scroll", "resize"])
    window.addEventListener(event, () => tour.visit && tour.aim(false), { passive: true, capture: true });
  new ResizeObserver(() => tour.visit && tour.aim(performance.now() - tour.entered < SETTLING)).observe(document.body);
  document.addEventListener("keydown", (event) => {
    if (!tour.visit) return;
    const inCard = event.target instanceof Node && tour.card.root.contains(event.target);
    if (event.altKey && event.code === "KeyT") tour.toggleFocus();
    else if (event.key === "Escape" && inCard) store.set({ tour: -1 });
    else return;
    event.preventDefault();
  });
  tour.sync();
  return tour.root;
}
