// Advances the step automatically, like a hand on the slider.

import { reactive } from "studio/state/reactive.js";
import type { Session } from "studio/state/session.js";
import type { Store } from "studio/state/store.js";

export const PACES = Object.freeze({ slow: 1800, steady: 900, fast: 350 }); // milliseconds per step

/** Plays the steps of a run once, to the end. Components follow whether it is playing, and how fast. */
export class Player {
  playing!: boolean;
  pace!: keyof typeof PACES;
  timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private store: Store,
    private session: Session,
    private isCalm: () => boolean, // whether the user prefers reduced motion
  ) {
    reactive<Player, "playing" | "pace">(this, { playing: false, pace: "steady" });
    session.on("model", () => this.pause());
  }

  play() {
    if (this.playing || this.last < 1) return;
    if (this.store.get().step >= this.last) this.store.set({ step: 0 });
    this.playing = true;
    this.#wait();
  }

  pause() {
    clearTimeout(this.timer);
    this.playing = false;
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  /** @param by steps, from where the cursor is */
  move(by: number) {
    this.pause();
    const step = Math.min(Math.max(this.store.get().step + by, 0), Math.max(this.last, 0));
    this.store.set({ step });
  }

  get last() {
    return (this.session.run?.steps ?? 0) - 1;
  }

  #wait() {
    const pace = PACES[this.pace];
    this.timer = setTimeout(() => this.#advance(), this.isCalm() ? Math.max(pace, PACES.steady) : pace);
  }

  #advance() {
    const step = this.store.get().step + 1;
    if (step > this.last) return this.pause();
    this.store.set({ step });
    return step === this.last ? this.pause() : this.#wait();
  }
}
