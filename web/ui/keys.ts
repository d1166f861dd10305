// Keyboard shortcuts that work everywhere except in text fields.

import type { App } from "studio/state/types.js";
import { togglePin } from "studio/state/run.js";

export function listenForKeys(target: EventTarget, app: App) {
  target.addEventListener("keydown", (event) => {
    if (event instanceof KeyboardEvent && !event.defaultPrevented && pressed(event, app)) event.preventDefault();
  });
}

/** @returns whether the key was handled */
function pressed(event: KeyboardEvent, app: App): boolean {
  const { target } = event;
  const typed = 'textarea, select, input:not([type="range"]), [contenteditable]';
  if (target instanceof HTMLElement && target.matches(typed)) return false;
  if (event.ctrlKey || event.metaKey) return history(event, app.store);
  if (event.altKey || controls(event)) return false;
  const action = actions(app)[event.key];
  action?.();
  return action !== undefined;
}

function actions({ store, session, player }: App): Record<string, () => void> {
  const unit = (by: number) => {
    if (session.run === null) return;
    const units = session.model?.tracks.find(({ name }) => name === store.get().track)?.units ?? 1;
    store.set({ unit: (store.get().unit + by + units) % units });
  };
  return {
    ArrowLeft: () => player.move(-1),
    ArrowRight: () => player.move(1),
    ArrowUp: () => unit(-1),
    ArrowDown: () => unit(1),
    Home: () => player.move(-Infinity),
    End: () => player.move(Infinity),
    " ": () => player.toggle(),
    p: () => togglePin(store, store.get().unit),
  };
}

function history({ key, shiftKey }: KeyboardEvent, store: App["store"]) {
  const isZ = key.toLowerCase() === "z";
  if (isZ && !shiftKey) return (store.undo(), true);
  return isZ || key.toLowerCase() === "y" ? (store.redo(), true) : false;
}

/** Whether the focused element itself uses the key. */
function controls({ key, target }: KeyboardEvent) {
  if (!(target instanceof HTMLElement)) return false;
  if (scrolls(target, key)) return true;
  if (key === " ") return target.matches("button, summary, a, input, [role=button], [role=radio]");
  return target.matches('input[type="range"], [role="radio"], [role="tab"], [role="menuitem"]');
}

const DOWNWARDS = new Set(["ArrowUp", "ArrowDown", "Home", "End", " "]);
const SIDEWAYS = new Set(["ArrowLeft", "ArrowRight"]);

function scrolls(target: HTMLElement, key: string) {
  const { overflowX, overflowY } = getComputedStyle(target);
  const can = (overflow: string) => overflow === "auto" || overflow === "scroll";
  if (DOWNWARDS.has(key)) return can(overflowY) && target.scrollHeight > target.clientHeight;
  return SIDEWAYS.has(key) && can(overflowX) && target.scrollWidth > target.clientWidth;
}
