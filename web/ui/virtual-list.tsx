// A list of any length in which one row is current. Only the rows in view are in the page.

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { onResize } from "studio/ui/visibility.js";

const SPARE = 8; // rows above and below those in view
const REST = 60; // milliseconds without scrolling after which rows count as seen

/**
 * @param props.of what the rows are of: if it changes, the list is scrolled to the first
 * @param props.current the current row; -1: none
 * @param props.choose called when the user makes a row the current one
 * @param props.rest called with the rows in view when scrolling has stopped
 */
export function VirtualList(props: {
  id: string;
  label: string;
  of: unknown;
  count: number;
  height: number; // of a row, in pixels
  kind: string; // the class of a row
  current: number;
  row: (k: number) => ComponentChildren;
  choose: (k: number) => void;
  rest?: (rows: number[]) => void;
}) {
  const { id, count, height, current, row, choose } = props;
  const root = useRef<HTMLDivElement>(null);
  const seen = useSignal("0 0"); // the first row in view and the one after the last
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const look = () => {
    const { scrollTop, clientHeight } = root.current as HTMLDivElement;
    const first = Math.max(0, Math.floor(scrollTop / height));
    const rows = Array.from({ length: Math.min(count, Math.ceil((scrollTop + clientHeight) / height)) - first });
    seen.value = `${first} ${first + rows.length}`;
    clearTimeout(timer.current);
    if (rows.length > 0) timer.current = setTimeout(() => props.rest?.(rows.map((_, k) => first + k)), REST);
  };
  const latest = useRef(look);
  latest.current = look;
  const scrollTo = (top: number) => {
    (root.current as HTMLDivElement).scrollTop = top;
    latest.current();
  };
  const reveal = (k: number) => {
    const { scrollTop, clientHeight } = root.current as HTMLDivElement;
    if (k * height < scrollTop) scrollTo(k * height);
    else if ((k + 1) * height > scrollTop + clientHeight) scrollTo((k + 1) * height - clientHeight);
  };
  useLayoutEffect(() => scrollTo(0), [props.of]);
  useLayoutEffect(() => {
    if (current >= 0) reveal(current);
    onResize(root.current as HTMLDivElement, () => latest.current());
  }, []);
  const move = (to: number) => {
    if (count === 0) return;
    const k = Math.max(0, Math.min(count - 1, to));
    choose(k);
    reveal(k);
  };
  const onKeyDown = (event: KeyboardEvent & { currentTarget: HTMLElement }) => {
    const page = Math.max(1, Math.floor(event.currentTarget.clientHeight / height) - 1);
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    const step = steps[event.key as keyof typeof steps];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move(current < 0 && step === 1 ? 0 : current + step);
  };
  const [first, last] = seen.value.split(" ").map(Number);
  const [low, high] = [Math.max(0, first - SPARE), Math.min(count, last + SPARE)];
  return (
    <div
      {...{ ref: root, id, class: "vlist", role: "listbox", tabindex: 0, "aria-label": props.label, onKeyDown }}
      aria-activedescendant={current >= 0 ? `${id}-${current}` : undefined}
      onScroll={() => requestAnimationFrame(() => latest.current())}
    >
      <div class="vlist-space" role="presentation" style={{ height: `${count * height}px` }}>
        {Array.from({ length: Math.max(0, high - low) }, (_, k) => low + k).map((k) => (
          <div
            {...{ key: k, id: `${id}-${k}`, class: props.kind, role: "option", "aria-selected": k === current }}
            {...{ "aria-setsize": count, "aria-posinset": k + 1 }}
            style={{ transform: `translateY(${k * height}px)` }}
            onClick={() => move(k)}
          >
            {row(k)}
          </div>
        ))}
      </div>
    </div>
  );
}
