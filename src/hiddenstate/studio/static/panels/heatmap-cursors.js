// What moves over the heat map: the step and the unit that are looked at, and what the pointer is over. Each is one
// element that is moved, so that scrubbing costs nothing.

import { element } from "studio/app/draw.js";
import { rowTop } from "studio/panels/heatmap-layout.js";

/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/panels/heatmap-layout.js").HeatLayout} HeatLayout */

const LEAST = 3; // pixels that a marked row is high at least

/**
 * @param {HTMLElement} map
 * @param {HTMLElement} scroller around it
 */
export function createCursors(map, scroller) {
  const column = element("div", { class: "heat-column" });
  const row = element("div", { class: "heat-row" }, [element("span", { class: "heat-unit number" })]);
  const under = element("div", { class: "heat-hover", hidden: true });
  map.append(column, row, under);
  /**
   * @param {HeatLayout | null} layout
   * @param {View} view
   * @param {number} seen how wide the part of the map is that is in sight
   */
  const show = (layout, { step, unit }, seen) => {
    if (layout === null) return;
    const x = layout.left + step * layout.pitch;
    place(column, x, layout.top, layout.pitch, layout.height - layout.top - 2);
    const high = Math.max(LEAST, layout.rowHeight);
    place(row, layout.left, rowTop(layout, unit) + (layout.rowHeight - high) / 2, layout.pitch * layout.steps, high);
    /** @type {HTMLElement} */ (row.firstChild).textContent = String(unit);
    if (layout.width > seen + 1) keepInSight(scroller, x, layout.pitch);
  };
  /**
   * @param {HeatLayout | null} layout
   * @param {{unit: number, step: number} | null} cell
   */
  const hover = (layout, cell) => {
    under.hidden = cell === null || layout === null;
    if (layout === null || cell === null) return;
    const high = Math.max(LEAST, layout.rowHeight);
    const y = rowTop(layout, cell.unit) + (layout.rowHeight - high) / 2;
    place(under, layout.left + cell.step * layout.pitch, y, layout.pitch, high);
  };
  return { show, hover };
}

/**
 * @param {HTMLElement} node
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 */
function place(node, x, y, width, height) {
  node.style.transform = `translate(${x}px, ${y}px)`;
  if (node.style.width !== `${width}px`) node.style.width = `${width}px`;
  if (node.style.height !== `${height}px`) node.style.height = `${height}px`;
}

/**
 * @param {HTMLElement} scroller
 * @param {number} x
 * @param {number} width
 */
function keepInSight(scroller, x, width) {
  const { scrollLeft, clientWidth } = scroller;
  if (x < scrollLeft + 60) scroller.scrollLeft = x - 60;
  else if (x + width > scrollLeft + clientWidth - 20) scroller.scrollLeft = x + width - clientWidth + 60;
}
