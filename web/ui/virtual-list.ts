// A list of any length in which one row is current. Only the rows in view are in the page.

import { element, set } from "studio/ui/draw.js";

const SPARE = 8; // rows above and below those in view
const REST = 60; // milliseconds without scrolling after which rows count as seen

interface VirtualList {
  root: HTMLElement;
  show: (count: number, current?: number) => void; // replaces all rows, and scrolls to the first
  reveal: (k: number) => void; // scrolls to a row
  mark: (k: number) => void; // makes a row the current one; -1 for none
  redraw: () => void; // makes the rows in view again
}

/**
 * @param what.height of a row, in pixels
 * @param what.choose called when the user makes a row the current one
 * @param what.rest called with the rows in view when scrolling has stopped
 */
export function virtualList({
  id,
  label,
  height,
  row,
  choose,
  rest,
}: {
  id: string;
  label: string;
  height: number;
  row: (k: number) => HTMLElement;
  choose: (k: number) => void;
  rest?: (rows: number[]) => void;
}): VirtualList {
  const space = element("div", { class: "vlist-space", role: "presentation" });
  const root = element("div", { id, class: "vlist", role: "listbox", tabindex: 0, "aria-label": label }, [space]);
  let [count, current] = [0, -1];
  const rows: Map<number, HTMLElement> = new Map();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const seen = () => {
    const first = Math.max(0, Math.floor(root.scrollTop / height));
    return [first, Math.min(count, Math.ceil((root.scrollTop + root.clientHeight) / height))];
  };
  const tell = (node: HTMLElement, k: number) => set(node, "aria-selected", String(k === current));
  const place = (k: number) => {
    const node = row(k);
    const about = { id: `${id}-${k}`, role: "option", "aria-setsize": count, "aria-posinset": k + 1 };
    for (const [name, value] of Object.entries(about)) set(node, name, value);
    node.style.transform = `translateY(${k * height}px)`;
    node.addEventListener("click", () => move(k));
    tell(node, k);
    rows.set(k, node);
    return node;
  };
  const draw = () => {
    const [first, last] = seen();
    const [low, high] = [Math.max(0, first - SPARE), Math.min(count, last + SPARE)];
    for (const [k, node] of rows) {
      if (k >= low && k < high) continue;
      node.remove();
      rows.delete(k);
    }
    const made = new DocumentFragment();
    for (let k = low; k < high; k += 1) if (!rows.has(k)) made.append(place(k));
    space.append(made);
    clearTimeout(timer);
    if (rest && last > first)
      timer = setTimeout(() => rest(Array.from({ length: last - first }, (_, k) => first + k)), REST);
  };
  const redraw = () => {
    for (const node of rows.values()) node.remove();
    rows.clear();
    draw();
  };
  const mark = (k: number) => {
    const before = current;
    current = k;
    for (const each of [before, k]) {
      const node = rows.get(each);
      if (node) tell(node, each);
    }
    set(root, "aria-activedescendant", k >= 0 ? `${id}-${k}` : null);
  };
  const reveal = (k: number) => {
    if (k * height < root.scrollTop) root.scrollTop = k * height;
    else if ((k + 1) * height > root.scrollTop + root.clientHeight)
      root.scrollTop = (k + 1) * height - root.clientHeight;
    draw();
  };
  const move = (k: number) => {
    if (count === 0) return;
    const wanted = Math.max(0, Math.min(count - 1, k));
    mark(wanted);
    reveal(wanted);
    choose(wanted);
  };
  root.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(draw).observe(root);
  root.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(root.clientHeight / height) - 1);
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    const step = steps[event.key as keyof typeof steps];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move(current < 0 && step === 1 ? 0 : current + step);
  });
  const show = (all: number, chosen: number = -1) => {
    count = all;
    space.style.height = `${all * height}px`;
    root.scrollTop = 0;
    mark(chosen);
    redraw();
  };
  return { root, show, reveal, mark, redraw };
}
