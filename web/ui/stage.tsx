// The places of pictures: a box that knows its width, cells that arrow keys move through, and text that fits.

import { type ReadonlySignal, useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren, JSX, TargetedPointerEvent } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useApp } from "studio/ui/app.js";
import { resize, set } from "studio/ui/draw.js";
import { isDark, widthOf } from "studio/ui/theme.js";
import { keepNames, onResize, scrollTo } from "studio/ui/visibility.js";

type StageProps = { reveal?: string; when?: unknown; children: (width: number) => ComponentChildren };

/**
 * A box for a picture, which is drawn again if the box, the theme or what the picture reads changes. A wider picture
 * scrolls sideways, and its parts of class "stays" don't.
 *
 * @param props.reveal a selector: the part to scroll to whenever `when` changes
 */
export function Stage({
  reveal,
  when,
  children,
  ...rest
}: StageProps & Omit<JSX.IntrinsicElements["div"], "children">) {
  const root = useRef<HTMLDivElement>(null);
  const { value: width } = useWidth(root);
  useLayoutEffect(() => keepNames(root.current as HTMLDivElement), []);
  useLayoutEffect(() => {
    const stage = root.current as HTMLDivElement;
    if (reveal) scrollTo(stage, stage.querySelector(reveal));
  }, [when, width]);
  return (
    <div ref={root} {...rest}>
      {width > 0 && children(width)}
    </div>
  );
}

/** Handlers of a picture on which a drag moves the cursor; `stepAt`: the step at an x of a picture of some width. */
export function useScrub(stepAt: (x: number, width: number) => number | null) {
  const { store, player } = useApp();
  const scrub = ({ clientX, currentTarget }: { clientX: number; currentTarget: HTMLElement }) => {
    const { left, width } = currentTarget.getBoundingClientRect();
    const step = stepAt(clientX - left, width);
    if (step !== null) store.set({ step });
  };
  return {
    onPointerDown: (event: TargetedPointerEvent<HTMLElement>) => {
      player.pause();
      if (event.pointerType !== "touch") event.currentTarget.setPointerCapture(event.pointerId);
      scrub(event);
    },
    onPointerMove: (event: TargetedPointerEvent<HTMLElement>) => {
      if (event.buttons === 1) scrub(event);
    },
  };
}

/** The size of an element's content, without its scrollbars: a signal. */
export function useBox(root: { current: HTMLElement | null }): ReadonlySignal<{ width: number; height: number }> {
  const box = useSignal({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const { current } = root;
    if (!current) return;
    const measure = () => {
      const { clientWidth: width, clientHeight: height } = current;
      const { value: before } = box;
      if (width !== before.width || height !== before.height) box.value = { width, height };
    };
    measure();
    onResize(current, measure);
  }, []);
  return box;
}

/** The width alone, for a picture that sets the height itself. */
export function useWidth(root: { current: HTMLElement | null }): ReadonlySignal<number> {
  const box = useBox(root);
  return useComputed(() => box.value.width);
}

type Sizes = "width" | "height";
type CanvasProps = Record<Sizes, number> & { draw: (context: CanvasRenderingContext2D) => void };

/** A canvas at screen resolution, which is drawn again with its component and in another theme. */
export function Canvas({ width, height, draw, ...rest }: CanvasProps & Omit<JSX.IntrinsicElements["canvas"], Sizes>) {
  const root = useRef<HTMLCanvasElement>(null);
  isDark();
  useLayoutEffect(() => draw(resize(root.current as HTMLCanvasElement, width, height)));
  return <canvas ref={root} aria-hidden="true" {...rest} />;
}

type PressProps = { label: string; press: (element: Element) => void; kind?: string; children: ComponentChildren };

/** A part of a picture that is a button: reached by Tab, pressed by a click, Enter or Space. */
export function Press(props: PressProps) {
  const press = (event: Event & { currentTarget: Element }) => {
    event.preventDefault();
    event.stopPropagation();
    props.press(event.currentTarget);
  };
  return (
    <g
      {...{ class: `${props.kind ?? ""} hs-press`.trim(), role: "button", tabindex: 0, "aria-label": props.label }}
      onClick={press}
      onKeyDown={(event) => (event.key === "Enter" || event.key === " ") && press(event)}
    >
      {props.children}
    </g>
  );
}

/** Of the texts at the ends and in the middle of a scale. */
export const ANCHORS = ["start", "middle", "end"] as const;

type TextProps = { kind: string; anchor?: (typeof ANCHORS)[number]; room?: number; text?: ComponentChildren };

/** A line of text in a picture, narrowed if it is wider than its room (fonts differ). */
export function Text(props: TextProps & JSX.IntrinsicElements["text"]) {
  const { kind, anchor = "start", room = Infinity, text, children = text, ...rest } = props;
  const root = useRef<SVGTextElement>(null);
  useLayoutEffect(() => {
    if (room < Infinity) fitSoon(root.current as SVGTextElement, room);
  });
  return (
    <text {...{ ref: root, class: kind, "text-anchor": anchor, lengthAdjust: "spacingAndGlyphs", ...rest }}>
      {children}
    </text>
  );
}

/**
 * Cells of which one can be reached with Tab, and the others from there with the arrow keys, Home and End. A cell has
 * `data-cell`, its number.
 *
 * @param props.columns cells in a row; all cells in one row if absent
 * @param props.current the cell to begin with
 * @param props.point called with the cell under the pointer or with the focus; null when it is left
 */
export function Grid(props: {
  as?: "g" | "div";
  class?: string;
  label: string;
  columns?: number;
  current: number;
  press: (k: number) => void;
  eager?: boolean; // whether moving to a cell presses it
  point?: (k: number | null) => void;
  children: ComponentChildren;
}) {
  const { as: Tag = "g", label, columns = Infinity, current, press, point = () => {} } = props;
  const root = useRef<HTMLDivElement & SVGGElement>(null);
  const cells = () => [...(root.current?.querySelectorAll<HTMLElement | SVGElement>("[data-cell]") ?? [])];
  const reach = (k: number) => cells().forEach((cell, n) => set(cell, "tabindex", n === k ? 0 : -1));
  useLayoutEffect(() => {
    const focused = cells().indexOf(document.activeElement as SVGElement);
    reach(focused < 0 ? Math.max(0, current) : focused);
  });
  const at = (event: Event) => cells().indexOf((event.target as Element).closest("[data-cell]") as SVGElement);
  const onCell = (then: (k: number) => void) => (event: Event) => {
    const k = at(event);
    if (k >= 0) then(k);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const [k, all] = [at(event), cells()];
    if (k < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = neighbour(k, event.key, Math.min(columns, all.length), all.length);
    if (event.key === "Enter" || event.key === " ") press(k);
    else if (next === undefined) return;
    else all[next].focus();
    if (props.eager && next !== undefined) press(next);
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <Tag
      ref={root}
      class={props.class}
      role="group"
      aria-label={label}
      onClick={onCell(press)}
      onKeyDown={onKeyDown}
      onPointerOver={onCell(point)}
      onPointerLeave={() => point(null)}
      onFocusIn={onCell((k) => (reach(k), point(k)))}
      onFocusOut={() => point(null)}
    >
      {props.children}
    </Tag>
  );
}

/** @returns undefined for a key that doesn't move; the cell itself at an edge */
function neighbour(k: number, key: string, columns: number, count: number): number | undefined {
  const row = k - (k % columns);
  const last = Math.min(row + columns, count) - 1;
  if (key === "ArrowLeft") return Math.max(row, k - 1);
  if (key === "ArrowRight") return Math.min(last, k + 1);
  if (key === "Home") return row;
  if (key === "End") return last;
  if (columns === count) return undefined;
  if (key === "ArrowUp") return k < columns ? k : k - columns;
  if (key === "ArrowDown") return k + columns < count ? k + columns : k;
  return undefined;
}

export type Box = { x: number; y: number; width: number; height: number };

const rooms: Map<SVGTextElement, number> = new Map(); // of the lines that were drawn since the last fit

function fitSoon(line: SVGTextElement, room: number) {
  if (rooms.size === 0) queueMicrotask(fit);
  rooms.set(line, room);
}

/** Narrows lines that are too wide. All are measured before any is changed, so that styles are computed once. */
function fit() {
  const lines = [...rooms].filter(([line]) => line.isConnected); // the others are in a file
  const widths = lines.map(([line]) => widthOf(line));
  lines.forEach(([line, room], k) => set(line, "textLength", widths[k] > room && room));
  rooms.clear();
}
