// Markers over the heat map: the selected step and unit, and the cell under the pointer. Each is a single element that
// is moved, so that scrubbing is cheap.

import { type HeatLayout, rowTop } from "studio/panels/heatmap/layout.js";
import type { View } from "studio/types.js";
import { element } from "studio/ui/draw.js";

const LEAST = 3; // minimum height of a marked row in pixels
const CLEAR = 60; // pixels between a cursor and the edge of the visible part

/** @param scroller around it */
export function createCursors(map: HTMLElement, scroller: HTMLElement) {
  const column = element("div", { class: "heat-column" });
  const name = element("span", { class: "heat-unit number" });
  const row = element("div", { class: "heat-row" }, [name]);
  const under = element("div", { class: "heat-hover", hidden: true });
  map.append(column, row, under);
  /** @param seen the visible part of the map */
  const show = (layout: HeatLayout | null, { step, unit }: View, seen: { width: number; height: number }) => {
    if (layout === null) return;
    const x = layout.left + step * layout.pitch;
    place(column, x, layout.top, layout.pitch, layout.height - layout.top - 2);
    const high = Math.max(LEAST, layout.rowHeight);
    const y = rowTop(layout, unit) + (layout.rowHeight - high) / 2;
    place(row, layout.left, y, layout.pitch * layout.steps, high);
    if (name.textContent !== String(unit)) name.textContent = String(unit);
    if (layout.width > seen.width + 1) scrollInto(scroller, "scrollLeft", [x, layout.pitch], [0, seen.width]);
    if (layout.height > seen.height + 1) scrollInto(scroller, "scrollTop", [y, high], [layout.top, seen.height]);
  };
  const hover = (layout: HeatLayout | null, cell: { unit: number; step: number } | null) => {
    under.hidden = cell === null || layout === null;
    if (layout === null || cell === null) return;
    const high = Math.max(LEAST, layout.rowHeight);
    const y = rowTop(layout, cell.unit) + (layout.rowHeight - high) / 2;
    place(under, layout.left + cell.step * layout.pitch, y, layout.pitch, high);
  };
  return { show, hover };
}

function place(node: HTMLElement, x: number, y: number, width: number, height: number) {
  node.style.transform = `translate(${x}px, ${y}px)`;
  if (node.style.width !== `${width}px`) node.style.width = `${width}px`;
  if (node.style.height !== `${height}px`) node.style.height = `${height}px`;
}

/**
 * Scrolls until a cursor is clear of the edges.
 *
 * @param cursor its start and size
 * @param seen the visible range
 */
function scrollInto(
  scroller: HTMLElement,
  way: "scrollLeft" | "scrollTop",
  [from, size]: readonly [number, number],
  [first, last]: readonly [number, number],
) {
  const now = scroller[way];
  if (from < now + first + CLEAR) scroller[way] = from - first - CLEAR;
  else if (from + size > now + last - CLEAR) scroller[way] = from + size - last + CLEAR;
}
