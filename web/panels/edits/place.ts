// Places a small box beside its subject, inside the window, never covering it.

import { windowSize } from "studio/ui/window.js";

const GAP = 10;

/**
 * Puts a box beside a rectangle. In a narrow window, the style sheet makes it a sheet at the bottom instead.
 *
 * @param box with position: fixed
 */
export function placeBeside(box: HTMLElement, at: DOMRect) {
  const { offsetWidth: width, offsetHeight: height } = box;
  const [roomX, roomY] = windowSize();
  const right = at.right + GAP + width <= roomX - GAP;
  const left = at.left - GAP - width >= GAP;
  const x = right ? at.right + GAP : left ? at.left - GAP - width : inside(at.left, width, roomX);
  const beside = right || left;
  const below = at.bottom + GAP + height <= roomY;
  const y = beside ? at.top - height / 3 : below ? at.bottom + GAP : at.top - GAP - height;
  box.style.left = `${inside(x, width, roomX)}px`;
  box.style.top = `${inside(y, height, roomY)}px`;
}

function inside(start: number, size: number, room: number): number {
  return Math.round(Math.max(GAP, Math.min(start, room - size - GAP)));
}
