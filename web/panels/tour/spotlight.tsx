// The spotlight on the tour's panels: everything else is dimmed, but nothing is blocked, and the card covers no panel.

import type { ReadonlySignal } from "@preact/signals";
import { isCalm } from "studio/ui/theme.js";
import { windowSize } from "studio/ui/visibility.js";

const MARGIN = 6;

type Box = { left: number; top: number; right: number; bottom: number };
/** the end of the part of the window that the card leaves free */
type Free = { right: number; bottom: number };

export type Light = { size: [width: number, height: number]; boxes: Box[] };

export function Spotlight({ light }: { light: ReadonlySignal<Light> }) {
  const { size, boxes } = light.value;
  const [width, height] = size;
  const holes = boxes.map(({ left, top, right, bottom }) => `M${left} ${top}H${right}V${bottom}H${left}Z`);
  return (
    <div class="tour-light">
      <svg viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
        <path class="shade" fill-rule="evenodd" d={`M0 0H${width}V${height}H0Z${holes.join("")}`} />
        {holes.map((hole) => (
          <path class="ring" d={hole} />
        ))}
      </svg>
    </div>
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

/** The part of the window that the card, which is at its bottom or at its right, leaves free. */
export function freeBeside(card: HTMLElement): Free {
  const { left, top } = card.getBoundingClientRect();
  const [width, height] = windowSize();
  return left > 0 ? { right: left, bottom: height } : { right: width, bottom: top };
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
