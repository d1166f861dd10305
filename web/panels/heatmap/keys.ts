// Keyboard control of the heat map: up and down follow the sorted rows.

import type { HeatLayout } from "studio/panels/heatmap/layout.js";
import type { App } from "studio/state/types.js";
import { togglePin } from "studio/state/units.js";

/** @param edit opens the editor at the cursor */
export function heatKeys({ store, player }: App, map: HTMLElement, layout: () => HeatLayout | null, edit: () => void) {
  const row = (by: number) => {
    const order = layout()?.order ?? [];
    const at = Math.max(0, order.indexOf(store.get().unit));
    const unit = order[Math.min(Math.max(at + by, 0), order.length - 1)];
    if (unit !== undefined) store.set({ unit });
  };
  const keys: Record<string, () => void> = {
    ArrowUp: () => row(-1),
    ArrowDown: () => row(1),
    PageUp: () => row(-10),
    PageDown: () => row(10),
    ArrowLeft: () => player.move(-1),
    ArrowRight: () => player.move(1),
    p: () => togglePin(store, store.get().unit),
    Enter: edit,
  };
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    keys[event.key]();
    event.preventDefault();
  });
}
