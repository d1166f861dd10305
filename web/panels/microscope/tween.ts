// Moves numbers smoothly to their next values, so that the eye can follow; with reduced motion, they change at once.

import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Numbers, Pace } from "studio/panels/microscope/types.js";
import { useApp } from "studio/ui/app.js";
import { isCalm } from "studio/ui/theme.js";

export const SWIFT = 240; // milliseconds
const SINGLE_STEP = 280; // milliseconds since the last step; after a longer pause, the user is watching, not scrubbing
const QUICK_STEP = 90;

/** A value that is made again if its inputs change, and how fast to show it: steps that the user watches are animated. */
export function usePaced<T>(make: () => T, inputs: unknown[]): { value: T; pace: Pace } {
  const { step } = useApp().view;
  const seen = useRef<{ step: number; time: number } | null>(null);
  return useMemo(() => {
    const [now, before] = [performance.now(), seen.current];
    if (before?.step !== step) seen.current = { step, time: before === null ? 0 : now };
    const since = now - (before?.time ?? now);
    const speed = since > SINGLE_STEP ? "play" : since > QUICK_STEP ? "move" : "jump";
    return { value: make(), pace: before === null ? "jump" : before.step === step ? "move" : speed };
  }, [step, ...inputs]);
}

/** Numbers on their way to a target, at each frame. */
export function useTween(target: Numbers, pace: Pace): ReadonlySignal<Numbers> {
  const numbers = useSignal(target);
  useLayoutEffect(() => {
    const from = numbers.peek();
    if (pace === "jump" || isCalm()) {
      numbers.value = target;
      return undefined;
    }
    return animate(SWIFT, (part) => (numbers.value = between(from, target, part)));
  }, [target]);
  return numbers;
}

/** Calls `draw` at each frame with the part of the time that has passed, 0..1; returns what stops it. */
export function animate(milliseconds: number, draw: (part: number) => void): () => void {
  const start = performance.now();
  const tick = (now: number) => {
    const part = Math.min(1, Math.max(0, (now - start) / milliseconds));
    draw(part);
    if (part < 1) frame = requestAnimationFrame(tick);
  };
  let frame = requestAnimationFrame(tick);
  return () => cancelAnimationFrame(frame);
}

export const eased = (part: number): number => part * part * (3 - 2 * part);

/** Interpolates numbers; new ones and NaN take their values at once. */
function between(from: Numbers, to: Numbers, part: number): Numbers {
  const share = eased(part);
  return Object.fromEntries(
    Object.entries(to).map(([name, end]) => {
      const value = from[name] + (end - from[name]) * share;
      return [name, part < 1 && Number.isFinite(value) ? value : end];
    }),
  );
}
