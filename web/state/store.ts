// The state of the page, and its listeners.

import type { View } from "studio/types.js";

type Listener = (view: View, previous: View) => void;

/** one undoable step */
interface Change {
  before: Partial<View>;
  after: Partial<View>;
  label: string;
}

const MOST_CHANGES = 200;
const SOON = 120; // milliseconds
const APART = 330;

/** Holds one immutable View. Listeners are notified once per batch, if a key that they subscribed to changed. */
export class Store {
  view: Readonly<View>;
  told: Readonly<View>;
  pending: boolean;
  listeners: Set<{ keys: (keyof View)[]; fn: Listener }>;
  done: Change[];
  undone: Change[];
  historians: Set<() => void>;
  save: () => void;

  /** @param save called now and then, and after the last change */
  constructor(initial: View, save: (view: View) => void) {
    this.view = Object.freeze({ ...initial });
    this.told = this.view;
    this.pending = false;
    this.listeners = new Set();
    this.done = [];
    this.undone = [];
    this.historians = new Set();
    this.save = seldom(() => save(this.view));
  }

  get(): View {
    return this.view;
  }

  /** Merges a patch. Listeners are notified in the next microtask, or immediately by `flush`. */
  set(patch: Partial<View>) {
    if (same(this.view, patch)) return;
    this.view = Object.freeze({ ...this.view, ...patch });
    this.save();
    if (this.pending) return;
    this.pending = true;
    queueMicrotask(() => this.flush());
  }

  /** Notifies listeners of changes since the last notification. */
  flush() {
    this.pending = false;
    const [view, previous] = [this.view, this.told];
    if (view === previous) return;
    this.told = view;
    for (const { keys, fn } of [...this.listeners]) {
      if (keys.some((key) => view[key] !== previous[key])) fn(view, previous);
    }
  }

  /** @returns unsubscribes */
  subscribe(keys: (keyof View)[], fn: Listener): () => void {
    const listener = { keys, fn };
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Like `set`, as an undoable step.
   *
   * @param label a description, such as "Pin unit 3"
   */
  change(patch: Partial<View>, label: string) {
    if (same(this.view, patch)) return;
    this.done.push({ before: picked(this.view, patch), after: patch, label });
    if (this.done.length > MOST_CHANGES) this.done.shift();
    this.undone = [];
    this.set(patch);
    this.#remember();
  }

  undo() {
    this.#move(this.done, this.undone, "before");
  }

  redo() {
    this.#move(this.undone, this.done, "after");
  }

  #move(from: Change[], to: Change[], side: "before" | "after") {
    const change = from.pop();
    if (change === undefined) return;
    to.push(change);
    this.set(change[side]);
    this.#remember();
  }

  /**
   * @param fn called when the steps to undo or redo change
   * @returns unsubscribes
   */
  onHistory(fn: () => void): () => void {
    this.historians.add(fn);
    return () => this.historians.delete(fn);
  }

  #remember() {
    for (const fn of this.historians) fn();
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
export function createStore(initial: View, save: (view: View) => void = () => {}): Store {
  return new Store(initial, save);
}

function same(view: View, patch: Partial<View>) {
  return keysOf(patch).every((key) => Object.is(view[key], patch[key]));
}

/** The values that a patch would replace. */
function picked(view: View, patch: Partial<View>): Partial<View> {
  return Object.fromEntries(keysOf(patch).map((key) => [key, view[key]]));
}

function keysOf(patch: Partial<View>): (keyof View)[] {
  return Object.keys(patch) as (keyof View)[];
}

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
