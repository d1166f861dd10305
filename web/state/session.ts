// Models and runs, derived from the view. Panels get everything that they draw from here.

import { batch } from "@preact/signals";
import { loadModel } from "studio/runtime/model.js";
import { inForce } from "studio/state/edits.js";
import { readInput } from "studio/state/input.js";
import { fitStates } from "studio/state/ranges.js";
import { reactive } from "studio/state/reactive.js";
import type { Store } from "studio/state/store.js";
import { fitted } from "studio/state/view.js";
import type { Model, Run, View } from "studio/types.js";

type Event = "model" | "run";

/** The loaded models, the runs for the current view, and their listeners. Components follow the fields that they read. */
export class Session {
  model!: Model | null;
  run!: Run | null;
  plain!: Run | null; // the run without edits
  other!: { model: Model; run: Run } | null;
  error!: Error | null; // why the last run failed; the runs are then the previous ones, if of this model
  otherError!: Error | null; // why there is no second run to compare with
  live!: boolean; // whether the run comes from a stream in Python rather than from typed text
  took = 0; // milliseconds of the last run
  models = new Map<string, Promise<Model>>();
  listeners = new Map<Event, Set<() => void>>();

  constructor(
    private store: Store,
    private host: typeof import("studio/state/host.js"),
  ) {
    const nothing = { model: null, run: null, plain: null, other: null, error: null, otherError: null };
    reactive<Session, keyof typeof nothing | "live">(this, { ...nothing, live: false });
    store.subscribe(["model"], () => void this.open());
    store.subscribe(["text"], () => this.#read());
    store.subscribe(["edits"], () => this.#edit());
    store.subscribe(["page", "otherModel", "otherText"], () => void this.#readOther());
  }

  /** @returns unsubscribes */
  on(event: Event, fn: () => void): () => void {
    const all = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, all.add(fn));
    return () => all.delete(fn);
  }

  /** Loads the view's model and runs it. */
  async open() {
    const id = this.store.get().model;
    const wanted = () => this.store.get().model === id; // a different model may have been chosen while this one loaded
    await this.#safely(
      "error",
      async () => {
        const model = await this.#load(id);
        if (!wanted()) return;
        batch(() => {
          if (this.model !== model && !this.live) this.run = this.plain = this.other = null; // those of the previous model
          this.model = model;
          this.#tell("model");
          try {
            this.#compute();
          } catch (error) {
            this.#tell("run"); // there may be no run now
            throw error;
          }
        });
      },
      wanted,
    );
    await this.#readOther();
  }

  /** Applies a view that comes from outside, as far as it fits the run. */
  look(patch: Partial<View>) {
    const view = { ...this.store.get(), ...patch };
    const stays = view.model === this.store.get().model && (this.live || view.text === this.store.get().text);
    const { model, run } = this;
    this.store.set(stays && model !== null && run !== null ? { ...patch, ...fitted(view, model, run) } : patch);
  }

  /** Shows a run from outside, such as a watched stream; `follow`: whether to move the cursor to its last step. */
  show(run: Run, follow: boolean) {
    batch(() => {
      const first = !this.live;
      this.live = true;
      this.run = this.plain = run;
      if (first) this.#tell("model");
      if (follow) this.store.set({ step: run.steps - 1 });
      this.#settle();
    });
  }

  #read() {
    void this.#safely("error", () => this.#compute());
    if (this.store.get().otherText === "") void this.#readOther();
  }

  #edit() {
    void this.#safely("error", () => this.#compute(this.plain));
  }

  /** @param plain the run without edits, if known */
  #compute(plain: Run | null = null) {
    if (this.model === null || this.live) return;
    const { text, edits } = this.store.get();
    const began = performance.now();
    this.plain = plain ?? readInput(this.model, text);
    const holding = this.plain === null ? [] : inForce(edits, this.model, this.plain.steps); // without inactive edits
    this.run = holding.length > 0 ? readInput(this.model, text, holding) : this.plain;
    this.took = performance.now() - began;
    this.#settle();
  }

  /** Fits the view to the run, then notifies listeners. */
  #settle() {
    this.error = null;
    fitStates([this.run, this.plain, this.other?.run ?? null]);
    if (this.model !== null && this.run !== null) this.store.set(fitted(this.store.get(), this.model, this.run));
    this.#tell("run");
  }

  async #readOther() {
    if (this.store.get().page !== "compare" || this.model === null) return;
    const chosen = () => this.store.get().otherModel || this.store.get().model;
    const id = chosen();
    const wanted = () => chosen() === id;
    await this.#safely(
      "otherError",
      async () => {
        const other = await this.#load(id);
        if (!wanted()) return;
        batch(() => {
          this.other = this.otherError = null; // even if B can't be read
          const { otherText, text } = this.store.get();
          const run = readInput(other, otherText || text);
          if (run !== null) this.other = { model: other, run };
          fitStates([this.run, this.plain, run]);
        });
      },
      wanted,
    );
  }

  #load(id: string): Promise<Model> {
    const known = this.models.get(id);
    if (known !== undefined) return known;
    const model = this.host.bundle(id).then(({ head, weights }) => loadModel(head, weights));
    this.models.set(id, model);
    model.catch(() => this.models.delete(id));
    return model;
  }

  /** `kept`: where to store an error; `wanted`: whether an error is still of interest */
  async #safely(kept: "error" | "otherError", fn: () => void | Promise<void>, wanted: () => boolean = () => true) {
    try {
      await fn();
    } catch (error) {
      if (!wanted()) return;
      this[kept] = error instanceof Error ? error : new Error(String(error));
    }
  }

  #tell(event: Event) {
    for (const fn of [...(this.listeners.get(event) ?? [])]) fn();
  }
}
