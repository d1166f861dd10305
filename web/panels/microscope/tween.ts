// Moves numbers smoothly to their next values, so that the eye can follow; with reduced motion, they change at once.

import { isCalm } from "studio/ui/theme.js";

export type Numbers = Record<string, number>;

interface Tween {
  go: (next: Numbers, milliseconds: number) => void;
  stop: () => void;
}

/** @param render called on each frame */
export function createTween(render: (numbers: Numbers) => void): Tween {
  let now: Numbers = {};
  let frame = 0;
  const show = (numbers: Numbers) => render((now = numbers));
  const stop = () => cancelAnimationFrame(frame);
  const go = (next: Numbers, milliseconds: number) => {
    stop();
    if (milliseconds <= 0 || isCalm()) return show(next);
    const from = now,
      start = performance.now();
    const tick = (time: number) => {
      const part = Math.min(1, Math.max(0, (time - start) / milliseconds));
      show(between(from, next, part));
      if (part < 1) frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
  };
  return { go, stop };
}

/**
 * Interpolates numbers; new ones and NaN take their values at once.
 *
 * @param part 0..1
 */
export function between(from: Numbers, to: Numbers, part: number): Numbers {
  const eased = part * part * (3 - 2 * part);
  return Object.fromEntries(
    Object.entries(to).map(([name, end]) => {
      const value = from[name] + (end - from[name]) * eased;
      return [name, part < 1 && Number.isFinite(value) ? value : end];
    }),
  );
}
