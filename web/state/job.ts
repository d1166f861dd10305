// Long work, in slices, so that the page stays responsive and the work can be stopped.

import { batch } from "@preact/signals";
import { reactive } from "studio/state/reactive.js";

const SLICE = 24; // milliseconds

/** Work to do: it yields how much was done, of this much. */
export interface Work<T> {
  steps: Generator<number, T, void>;
  cost: number;
}

/** A job, which is done again for each subject. Components follow its fields. */
export class Job<S, T> {
  result!: { subject: S; value: T } | null; // the last one, also while the next is being computed
  share!: number; // of the work done; 1 if nothing is running
  stopped!: boolean;
  problem!: string; // why it failed
  #subject: S | null = null;
  #count = 0; // increases with each start and stop, so that earlier work ends

  constructor(private work: (subject: S) => Work<T>) {
    reactive<Job<S, T>, "result" | "share" | "stopped" | "problem">(this, {
      ...{ result: null, share: 1, stopped: false, problem: "" },
    });
  }

  /** Begins with a subject, unless it did that already; null stops and clears the result. */
  begin(subject: S | null) {
    if (subject === this.#subject) return;
    this.stop();
    this.#subject = subject;
    if (subject === null) this.#report({ result: null, stopped: false, problem: "" });
    else this.#run(subject);
  }

  stop() {
    this.#count += 1;
    this.#subject = null;
    if (this.share < 1) this.#report({ share: 1, stopped: true });
  }

  #run(subject: S) {
    const count = this.#count;
    const { steps, cost } = this.work(subject);
    let done = 0;
    const slice = () => {
      if (count !== this.#count) return;
      try {
        const until = performance.now() + SLICE;
        do {
          const next = steps.next();
          if (next.done) return this.#report({ share: 1, result: { subject, value: next.value } });
          done += next.value;
        } while (performance.now() < until);
        this.share = Math.min(0.999, done / cost);
        setTimeout(slice);
      } catch (error) {
        this.#report({ share: 1, problem: error instanceof Error ? error.message : String(error) });
      }
    };
    this.#report({ share: 0, stopped: false, problem: "" });
    setTimeout(slice);
  }

  #report(news: Partial<Pick<Job<S, T>, "result" | "share" | "stopped" | "problem">>) {
    batch(() => Object.assign(this, news));
  }
}
