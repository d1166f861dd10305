// The state of the page, and its listeners.

/** @typedef {import("studio/types.js").View} View */
/** @typedef {(view: View, previous: View) => void} Listener */

/**
 * @typedef {object} Change one undoable step
 * @property {Partial<View>} before
 * @property {Partial<View>} after
 * @property {string} label
 */

const MOST_CHANGES = 200;
const SOON = 120; // milliseconds
const APART = 330;

/** Holds one immutable View. Listeners are notified once per batch, if a key that they subscribed to changed. */
export class Store {
  /**
   * @param {View} initial
   * @param {(view: View) => void} save called now and then, and after the last change
   */
  constructor(initial, save) {
    this.view = Object.freeze({ ...initial });
    this.told = this.view;
    this.pending = false;
    /** @type {Set<{keys: (keyof View)[], fn: Listener}>} */
    this.listeners = new Set();
    /** @type {Change[]} */
    this.done = [];
    /** @type {Change[]} */
    this.undone = [];
    /** @type {Set<() => void>} */
    this.historians = new Set();
    this.save = seldom(() => save(this.view));
  }

  /** @returns {View} */
  get() {
    return this.view;
  }

  /**
   * Merges a patch. Listeners are notified in the next microtask, or immediately by `flush`.
   * @param {Partial<View>} patch
   */
  set(patch) {
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

  /**
   * @param {(keyof View)[]} keys
   * @param {Listener} fn
   * @returns {() => void} unsubscribes
   */
  subscribe(keys, fn) {
    const listener = { keys, fn };
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Like `set`, as an undoable step.
   * @param {Partial<View>} patch
   * @param {string} label a description, such as "Pin unit 3"
   */
  change(patch, label) {
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

  /**
   * @param {Change[]} from
   * @param {Change[]} to
   * @param {"before" | "after"} side
   */
  #move(from, to, side) {
    const change = from.pop();
    if (change === undefined) return;
    to.push(change);
    this.set(change[side]);
    this.#remember();
  }

  /**
   * @param {() => void} fn called when the steps to undo or redo change
   * @returns {() => void} unsubscribes
   */
  onHistory(fn) {
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

/**
 * @param {View} initial
 * @param {(view: View) => void} [save] keeps the view, in the address
 * @returns {Store}
 */
export function createStore(initial, save = () => {}) {
  return new Store(initial, save);
}

/**
 * @param {View} view
 * @param {Partial<View>} patch
 */
function same(view, patch) {
  return keysOf(patch).every((key) => Object.is(view[key], patch[key]));
}

/**
 * The values that a patch would replace.
 * @param {View} view
 * @param {Partial<View>} patch
 * @returns {Partial<View>}
 */
function picked(view, patch) {
  return Object.fromEntries(keysOf(patch).map((key) => [key, view[key]]));
}

/**
 * @param {Partial<View>} patch
 * @returns {(keyof View)[]}
 */
function keysOf(patch) {
  return /** @type {(keyof View)[]} */ (Object.keys(patch));
}

/**
 * Calls `fn` soon, but no more often than browsers allow an address to change; some allow 100 changes in 30 s.
 * @param {() => void} fn
 */
function seldom(fn) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
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
