// What the levels of the microscope share: types, and numbers that move smoothly to their next values, so that the eye
// can follow; with reduced motion, they change at once.

import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Model, Run, Track, TrackInfo, View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import type { Box } from "studio/ui/stage.js";
import { isCalm } from "studio/ui/theme.js";

export type Point = [x: number, y: number];
export type Label = [x: number, y: number, anchor: "start" | "middle" | "end"];
/** the values that an operation reads, and the one that it gives */
export type Operation = { symbol: string; reads: string[]; gives: string };
export type Numbers = Record<string, number>;

export interface Layout {
  height: number;
  boxes: Record<string, Box>; // gates by letter, states and parts of sums by name, and "x", where the vectors come in
  nodes: Record<string, Point>; // the cell's operations: keep write add tanh show
  wires: { name: string; points: Point[] }[]; // that carry a number of this unit
  buses: Point[][]; // that carry whole vectors, x and h_prev
  labels: Record<string, Label>; // of the numbers between the operations
}

/** at once, swiftly, or with numbers that travel along the wires */
export type Pace = "jump" | "move" | "play";

/** What a zoom level shows. */
export interface Scene {
  model: Model;
  run: Run;
  track: Track;
  info: TrackInfo;
  width: number;
  go: (patch: Partial<View>) => void;
  edit: ((quantity: string, from: Element) => void) | null; // opens the editor; null if nothing can be edited
}

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
    return animate(pace === "jump" ? 0 : SWIFT, (part) => (numbers.value = between(from, target, part)));
  }, [target]);
  return numbers;
}

/** Calls `draw` now and at each frame with the part of the time that has passed, 0..1; returns what stops it. */
export function animate(milliseconds: number, draw: (part: number) => void): () => void {
  let frame = 0;
  const start = performance.now();
  const tick = (now: number) => {
    const part = milliseconds > 0 && !isCalm() ? Math.min(1, Math.max(0, (now - start) / milliseconds)) : 1;
    draw(part);
    if (part < 1) frame = requestAnimationFrame(tick);
  };
  tick(start);
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
