// The spotlight on the tour's panels: everything else is dimmed, but nothing is blocked, and the card stays beside the
// panels.

import type { ReadonlySignal } from "@preact/signals";
import { isCalm } from "studio/ui/theme.js";
import { windowSize } from "studio/ui/visibility.js";

const MARGIN = 6;
const GAP = 14;
const NARROW = 760; // narrower windows show the card as a sheet at the bottom
const SHORT = 500; // in lower windows, a sheet would leave no room for the page, so the card is at the right

type Box = { left: number; top: number; right: number; bottom: number };
/** the end of the part of the window that the card leaves free */
type Free = { right: number; bottom: number };

export type Light = { size: [width: number, height: number]; boxes: Box[] };

export function Spotlight({ light }: { light: ReadonlySignal<Light> }) {
  const { size, boxes } = light.value;
  const [width, height] = size;
  return (
    <div class="tour-light">
      <svg viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
        <path class="shade" fill-rule="evenodd" d={`M0 0H${width}V${height}H0Z${boxes.map(rounded).join("")}`} />
        {boxes.map((box) => (
          <path class="ring" d={rounded(box)} />
        ))}
      </svg>
    </div>
  );
}

function rounded({ left, top, right, bottom }: Box) {
  const r = Math.max(0, Math.min(8, (right - left) / 2, (bottom - top) / 2));
  return (
    `M${left + r} ${top}H${right - r}a${r} ${r} 0 0 1 ${r} ${r}V${bottom - r}a${r} ${r} 0 0 1 ${-r} ${r}` +
    `H${left + r}a${r} ${r} 0 0 1 ${-r} ${-r}V${top + r}a${r} ${r} 0 0 1 ${r} ${-r}Z`
  );
}

/** The visible parts of the panels, with a little margin. */
export const litBoxes = (panels: HTMLElement[], free: Free): Box[] =>
  panels
    .map((panel) => panel.getBoundingClientRect())
    .map((box) => ({
      left: Math.max(2, box.left - MARGIN),
      right: Math.min(free.right - 2, box.right + MARGIN),
      top: Math.max(2, box.top - MARGIN),
      bottom: Math.min(free.bottom - 2, box.bottom + MARGIN),
    }))
    .filter((box) => box.bottom > box.top && box.right > box.left);

/**
 * Puts the card beside the panels if there is room. Otherwise it becomes a sheet at the bottom of the window, and the
 * page can be scrolled clear of it. In a short window, the page makes room for it at the right. Without panels, the
 * card is in the middle.
 */
export function placeCard(card: HTMLElement, panels: HTMLElement[]): Free {
  const edges = panels.map((panel) => panel.getBoundingClientRect());
  const [left, right] = [Math.min(...edges.map((box) => box.left)), Math.max(...edges.map((box) => box.right))];
  card.className = "tour-card";
  const way = panels.length === 0 ? "centre" : wayBeside(left, right, card.offsetWidth + 2 * GAP);
  card.classList.add(way);
  card.removeAttribute("style");
  if (way === "right") beside(card, right + GAP, edges);
  if (way === "left") beside(card, left - GAP - card.offsetWidth, edges);
  const [sheet, aside] = [way === "sheet" ? card.offsetHeight : 0, way === "aside" ? card.offsetWidth : 0];
  document.body.style.setProperty("--tour-sheet", `${sheet}px`);
  document.body.style.setProperty("--tour-aside", `${aside}px`);
  const [width, height] = windowSize();
  return { right: width - aside, bottom: height - sheet };
}

/** `left`: of the panels; `need`: the width of the card */
function wayBeside(left: number, right: number, need: number): "aside" | "sheet" | "right" | "left" {
  const [width, height] = windowSize();
  if (height < SHORT && height < width) return "aside";
  if (width < NARROW) return "sheet";
  return width - right >= need ? "right" : left >= need ? "left" : "sheet";
}

function beside(card: HTMLElement, x: number, edges: DOMRect[]) {
  const top = Math.min(...edges.map((box) => box.top));
  const y = Math.max(GAP, Math.min(top, windowSize()[1] - card.offsetHeight - GAP));
  card.style.left = `${Math.round(x)}px`;
  card.style.top = `${Math.round(y)}px`;
}

/** Scrolls the panels into the free part of the window. */
export function bringIntoView(panels: HTMLElement[], { bottom: floor }: Free) {
  if (!panels.length) return;
  const moving = panels.filter((panel) => !sticks(panel));
  const edges = (moving.length ? moving : panels).map((panel) => panel.getBoundingClientRect());
  const [top, bottom] = [Math.min(...edges.map((box) => box.top)), Math.max(...edges.map((box) => box.bottom))];
  const ceiling = ceilingHeight();
  if (top >= ceiling && bottom <= floor) return;
  const room = floor - ceiling;
  const aim = bottom - top >= room ? ceiling + MARGIN + 2 : ceiling + (room - (bottom - top)) / 2;
  window.scrollBy({ top: top - aim, behavior: isCalm() ? "auto" : "smooth" });
}

const sticks = (part: HTMLElement) => getComputedStyle(part).position === "sticky";

/** The bottom edge of the page header, which stays at the top of the window when the page scrolls. */
function ceilingHeight() {
  const parts = [...document.querySelectorAll("#studio > header, #transport")] as HTMLElement[];
  const stuck = parts.filter(sticks).map((part) => (parseFloat(getComputedStyle(part).top) || 0) + part.offsetHeight);
  return Math.max(0, ...stuck);
}
