// Moves numbers smoothly to their next values, so that the eye can follow; with reduced motion, they change at once.

import { isCalm } from "studio/ui/theme.js";

/** @typedef {Record<string, number>} Numbers */

/**
 * @typedef {object} Tween
 * @property {(next: Numbers, milliseconds: number) => void} go
 * @property {() => void} stop
 */

/**
 * @param {(numbers: Numbers) => void} render called on each frame
 * @returns {Tween}
 */
export function createTween(render) {
  /** @type {Numbers} */
  let now = {};
  let frame = 0;
  const show = (/** @type {Numbers} */ numbers) => render((now = numbers));
  const stop = () => cancelAnimationFrame(frame);
  const go = (/** @type {Numbers} */ next, /** @type {number} */ milliseconds) => {
    stop();
    if (milliseconds <= 0 || isCalm()) return show(next);
    const from = now,
      start = performance.now();
    const tick = (/** @type {number} */ time) => {
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
 * @param {Numbers} from
 * @param {Numbers} to
 * @param {number} part 0..1
 * @returns {Numbers}
 */
export function between(from, to, part) {
  const eased = part * part * (3 - 2 * part);
  return Object.fromEntries(
    Object.entries(to).map(([name, end]) => {
      const value = from[name] + (end - from[name]) * eased;
      return [name, part < 1 && Number.isFinite(value) ? value : end];
    }),
  );
}
