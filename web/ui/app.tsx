// What components share: the app, hooks, and elements made of components for code that has none.

import { type ReadonlySignal, computed, untracked, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { type ComponentChild, createContext, render } from "preact";
import { useContext, useMemo, useRef } from "preact/hooks";
import { Job, type Work } from "studio/state/job.js";
import type { App } from "studio/state/types.js";
import { valueAt } from "studio/state/run.js";
import type { Track, View } from "studio/types.js";

export const AppContext = createContext<App | null>(null);

/** The app. A component that reads `view.step` or `session.run` is drawn again when that changes. */
export function useApp(): App & { view: Readonly<View> } {
  const app = useContext(AppContext) as App;
  return { ...app, view: app.store.view };
}

/** The value of a field of the view and what sets it, for a control that chooses it. */
export const choice = <K extends keyof View>(store: App["store"], key: K) => ({
  ...{ value: store.view[key], choose: (value: View[K]) => store.set({ [key]: value } as Partial<View>) },
});

/** Says "step" and "series" in place of "word" and "sentence" where a model reads a series. */
export function useNouns(): (text: string) => string {
  const { model } = useApp().session;
  return model?.series ? inSteps : (text) => text;
}

const inSteps = (text: string): string =>
  text
    .replace(/\b(word|text|sentence)(?=s?\b)/gi, (noun) => {
      const named = noun.toLowerCase() === "word" ? "step" : "series";
      return noun[0] === noun[0].toUpperCase() ? named[0].toUpperCase() + named.slice(1) : named;
    })
    .replaceAll("seriess", "series");

/** The element that a component draws, by itself: for files, and for code without components. */
export function still<E extends Element>(drawn: ComponentChild): E {
  const holder = document.createElement("div");
  render(drawn, holder);
  const { firstElementChild } = holder;
  render(null, holder); // so that it follows no signals, which would keep it in memory
  return firstElementChild as E;
}

/** Opens the editor of a value beside an element, by an event that the panel of edits hears. */
export function openEditor(from: Element, track: Track, quantity: string, unit: number, t: number) {
  const detail = { place: `${track.info.name}.${quantity}`, unit, t, value: valueAt(track, quantity, unit, t) };
  from.dispatchEvent(new CustomEvent("hs-edit", { bubbles: true, detail }));
}

/** The step at the cursor, which is in the run also while another model is being read. */
export function useStep(): ReadonlySignal<number> {
  const { view, session } = useApp();
  return useComputed(() => Math.min(view.step, Math.max(0, (session.run?.steps ?? 1) - 1)));
}

/** A signal computed from other signals and from arguments of the component, which `useComputed` would not follow. */
export function useDerived<T>(compute: () => T, inputs: unknown[]): ReadonlySignal<T> {
  return useMemo(() => computed(compute), inputs);
}

/** A job that is done for each subject, while its page is shown. */
export function useJob<S, T>(page: View["page"], subject: () => S | null, work: (subject: S) => Work<T>): Job<S, T> {
  const { view } = useApp();
  const job = useMemo(() => new Job(work), []);
  const current = useComputed(subject);
  useSignalEffect(() => {
    const next = view.page === page ? current.value : undefined;
    untracked(() => (next === undefined ? job.stop() : job.begin(next)));
  });
  return job;
}

/**
 * A box of text that follows a value, but not while the user types in it: what is typed is taken at once or, if there is
 * `rest`, after so many milliseconds without a key.
 */
export function useTyping(value: string | number, take: (text: string) => void = () => {}, rest?: () => number) {
  const typed = useSignal<string | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const onInput = ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) => {
    const { value: text } = currentTarget;
    typed.value = text;
    clearTimeout(timer.current);
    if (!rest) return take(text);
    timer.current = setTimeout(() => {
      typed.value = null;
      take(text);
    }, rest());
  };
  const onBlur = () => {
    if (!rest) typed.value = null;
  };
  return { value: typed.value ?? value, onInput, onBlur };
}
