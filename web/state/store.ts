// The state of the page, and its listeners.

import { batch } from "@preact/signals";
import { reactive } from "studio/state/reactive.js";
import type { View } from "studio/types.js";

type Listener = (view: View, previous: View) => void;

interface Change {
  before: Partial<View>;
  after: Partial<View>;
  label: string;
}

const MOST_CHANGES = 200;
const SOON = 120; // milliseconds
const APART = 330;

/** Holds one immutable View. Components follow the fields of `view`; listeners are notified once per batch. */
export class Store {
  readonly view: Readonly<View>;
  now: Readonly<View>;
  told: Readonly<View>;
  pending = false;
  listeners = new Set<{ keys: (keyof View)[]; fn: Listener }>();
  done!: readonly Change[]; // the steps that `undo` reverts
  undone!: readonly Change[];
  save: () => void;

  /** @param save called now and then, and after the last change */
  constructor(initial: View, save: (view: View) => void) {
    this.now = Object.freeze({ ...initial });
    this.view = {} as View;
    reactive(this.view, this.now);
    this.told = this.now;
    reactive<Store, "done" | "undone">(this, { done: [], undone: [] });
    this.save = seldom(() => save(this.now));
  }

  /** The view as it is, which no component follows. */
  get(): View {
    return this.now;
  }

  /** Merges a patch. Listeners are notified in the next microtask, or immediately by `flush`. */
  set(patch: Partial<View>) {
    if (same(this.now, patch)) return;
    this.now = Object.freeze({ ...this.now, ...patch });
    this.save();
    if (!this.pending) queueMicrotask(() => this.flush()); // before the components are drawn
    this.pending = true;
    batch(() => Object.assign(this.view, patch));
  }

  /** Notifies listeners of changes since the last notification. */
  flush() {
    this.pending = false;
    const [view, previous] = [this.now, this.told];
    if (view === previous) return;
    this.told = view;
    batch(() => {
      for (const { keys, fn } of [...this.listeners]) {
        if (keys.some((key) => view[key] !== previous[key])) fn(view, previous);
      }
    });
  }

  /** @returns unsubscribes */
  subscribe(keys: (keyof View)[], fn: Listener): () => void {
    const listener = { keys, fn };
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Like `set`, as an undoable step; `label`: a description, such as "Pin unit 3". */
  change(patch: Partial<View>, label: string) {
    if (same(this.now, patch)) return;
    const change = { before: picked(this.now, patch), after: patch, label };
    this.set(patch);
    batch(() => {
      this.done = [...this.done, change].slice(-MOST_CHANGES);
      this.undone = [];
    });
  }

  undo() {
    this.#move("done", "undone", "before");
  }

  redo() {
    this.#move("undone", "done", "after");
  }

  #move(from: "done" | "undone", to: "done" | "undone", side: "before" | "after") {
    const change = this[from].at(-1);
    if (change === undefined) return;
    this.set(change[side]);
    batch(() => {
      this[from] = this[from].slice(0, -1);
      this[to] = [...this[to], change];
    });
  }

  get canUndo() {
    return this.done.length > 0;
  }

  get canRedo() {
    return this.undone.length > 0;
  }

  /** The label of the step that `undo` reverts; "" if none. */
  get undoLabel() {
    return this.done.at(-1)?.label ?? "";
  }
}

/** @param save keeps the view, in the address */
export const createStore = (initial: View, save: (view: View) => void = () => {}): Store => new Store(initial, save);

const same = (view: View, patch: Partial<View>) => viewKeys(patch).every((key) => Object.is(view[key], patch[key]));

const picked = (view: View, patch: Partial<View>): Partial<View> =>
  Object.fromEntries(viewKeys(patch).map((key) => [key, view[key]]));

const viewKeys = (patch: Partial<View>): (keyof View)[] => Object.keys(patch) as (keyof View)[];

/** Calls `fn` soon, but no more often than browsers allow an address to change; some allow 100 changes in 30 s. */
function seldom(fn: () => void) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = -APART;
  const call = () => {
    timer = undefined;
    last = performance.now();
    fn();
  };
  return () => {
    timer ??= setTimeout(call, Math.max(SOON, last + APART - performance.now()));
  };
}
