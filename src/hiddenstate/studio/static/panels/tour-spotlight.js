// The light on what the tour talks about: all else is dimmed, nothing is blocked, and the card stays beside it.

import { element, svg } from "studio/app/draw.js";
import { isCalm } from "studio/app/theme.js";

const MARGIN = 6;
const GAP = 14;
const NARROW = 760; // below it the card is a sheet at the bottom

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */

/** @returns {{root: HTMLElement, light: (boxes: Box[]) => void}} */
export function createSpotlight() {
  const shade = svg("path", { class: "shade", "fill-rule": "evenodd" });
  const rings = svg("g", {});
  const drawn = svg("svg", { "aria-hidden": "true" }, [shade, rings]);
  return {
    root: element("div", { class: "tour-light" }, [drawn]),
    light(boxes) {
      const [width, height] = [window.innerWidth, window.innerHeight];
      drawn.setAttribute("viewBox", `0 0 ${width} ${height}`);
      shade.setAttribute("d", `M0 0H${width}V${height}H0Z${boxes.map(rounded).join("")}`);
      rings.replaceChildren(...boxes.map((box) => svg("path", { class: "ring", d: rounded(box) })));
    },
  };
}

/** @param {Box} box */
function rounded({ left, top, right, bottom }) {
  const r = Math.max(0, Math.min(8, (right - left) / 2, (bottom - top) / 2));
  return (
    `M${left + r} ${top}H${right - r}a${r} ${r} 0 0 1 ${r} ${r}V${bottom - r}a${r} ${r} 0 0 1 ${-r} ${r}` +
    `H${left + r}a${r} ${r} 0 0 1 ${-r} ${-r}V${top + r}a${r} ${r} 0 0 1 ${r} ${-r}Z`
  );
}

/**
 * What of the panels can be seen, with a little air around.
 * @param {HTMLElement[]} panels
 * @param {number} floor where a sheet at the bottom begins
 * @returns {Box[]}
 */
export function boxesOf(panels, floor) {
  return panels
    .map((panel) => panel.getBoundingClientRect())
    .map((box) => ({
      left: Math.max(2, box.left - MARGIN),
      right: Math.min(window.innerWidth - 2, box.right + MARGIN),
      top: Math.max(2, box.top - MARGIN),
      bottom: Math.min(floor - 2, box.bottom + MARGIN),
    }))
    .filter((box) => box.bottom > box.top && box.right > box.left);
}

/**
 * Put the card beside the panels if there is room at a side; otherwise it is a sheet at the bottom of the window, and
 * the page can be scrolled clear of it. Without panels it stands in the middle.
 * @param {HTMLElement} card
 * @param {HTMLElement[]} panels
 * @returns {number} where the sheet begins; the window's height without one
 */
export function placeCard(card, panels) {
  const edges = panels.map((panel) => panel.getBoundingClientRect());
  const [left, right] = [Math.min(...edges.map((box) => box.left)), Math.max(...edges.map((box) => box.right))];
  card.className = "tour-card";
  const need = card.offsetWidth + 2 * GAP;
  const narrow = window.innerWidth < NARROW;
  const side =
    panels.length === 0 ? "centre" : window.innerWidth - right >= need ? "right" : left >= need ? "left" : "sheet";
  card.classList.add(narrow ? "sheet" : side);
  const sheet = card.classList.contains("sheet");
  document.body.style.setProperty("--tour-sheet", sheet ? `${card.offsetHeight}px` : "0px");
  if (sheet || side === "centre") card.removeAttribute("style");
  else
    beside(
      card,
      side === "right" ? right + GAP : left - GAP - card.offsetWidth,
      Math.min(...edges.map((box) => box.top)),
    );
  return sheet ? window.innerHeight - card.offsetHeight : window.innerHeight;
}

/**
 * @param {HTMLElement} card
 * @param {number} x
 * @param {number} top of the panels
 */
function beside(card, x, top) {
  const y = Math.max(GAP, Math.min(top, window.innerHeight - card.offsetHeight - GAP));
  card.style.left = `${Math.round(x)}px`;
  card.style.top = `${Math.round(y)}px`;
}

/**
 * Bring the panels into the part of the window that is free.
 * @param {HTMLElement[]} panels
 * @param {number} floor
 */
export function bringIntoView(panels, floor) {
  if (!panels.length) return;
  const moving = panels.filter((panel) => !sticks(panel));
  const edges = (moving.length ? moving : panels).map((panel) => panel.getBoundingClientRect());
  const [top, bottom] = [Math.min(...edges.map((box) => box.top)), Math.max(...edges.map((box) => box.bottom))];
  const ceiling = ceilingOf();
  if (top >= ceiling && bottom <= floor) return;
  const room = floor - ceiling;
  const aim = bottom - top >= room ? ceiling + MARGIN + 2 : ceiling + (room - (bottom - top)) / 2;
  window.scrollBy({ top: top - aim, behavior: isCalm() ? "auto" : "smooth" });
}

/** @param {HTMLElement} part */
function sticks(part) {
  return getComputedStyle(part).position === "sticky";
}

/** Where the lowest of those parts ends that stay at the top of the window when the page is scrolled. */
function ceilingOf() {
  const parts = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("#studio > header, #transport")]);
  const stuck = parts.filter(sticks).map((part) => (parseFloat(getComputedStyle(part).top) || 0) + part.offsetHeight);
  return Math.max(0, ...stuck);
}
