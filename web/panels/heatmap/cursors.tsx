// What moves over the heat map: the selected step and unit, the cell under the pointer, and its value in words.

import type { Signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { type Cell, type HeatLayout, rowTop, type Scene } from "studio/panels/heatmap/layout.js";
import { valueAt, wordAt } from "studio/state/run.js";
import { useApp } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { type Ends } from "studio/ui/line.js";
import { Button, Says } from "studio/ui/form.js";

const LEAST = 3; // minimum height of a marked row in pixels
const CLEAR = 60; // pixels between a cursor and the edge of the visible part

export interface HeatParts {
  place: { current: HTMLDivElement | null }; // which scrolls
  map: { current: HTMLDivElement | null };
  box: { value: { width: number; height: number } };
  scene: { value: Scene | null };
  pointed: Signal<Cell | null>;
  edit: () => void;
}

type CursorsProps = Pick<HeatParts, "pointed" | "place" | "box"> & { layout: HeatLayout };

export function Cursors({ layout, pointed, place, box }: CursorsProps) {
  const { step, unit } = useApp().view;
  const { left, top, pitch, rowHeight, width, height } = layout;
  const high = Math.max(LEAST, rowHeight);
  const wide = Math.max(1, pitch);
  const x = left + step * pitch;
  const y = (of: number) => rowTop(layout, of) + (rowHeight - high) / 2;
  useLayoutEffect(() => {
    const { current: scroller } = place;
    if (!scroller) return;
    const { value: seen } = box;
    if (width > seen.width + 1) scrollInto(scroller, "scrollLeft", [x, pitch], [0, seen.width]);
    if (height > seen.height + 1) scrollInto(scroller, "scrollTop", [y(unit), high], [top, seen.height]);
  }, [layout, step, unit]);
  const cell = pointed.value;
  return (
    <>
      <div class="heat-column" style={position(x, top, wide, height - top - 2)} />
      <div class="heat-row" style={position(left, y(unit), pitch * layout.steps, high)}>
        <span class="heat-unit number">{unit}</span>
      </div>
      {cell && <div class="heat-hover" style={position(left + cell.step * pitch, y(cell.unit), wide, high)} />}
    </>
  );
}

function position(x: number, y: number, width: number, height: number) {
  return { transform: `translate(${x}px, ${y}px)`, width: `${width}px`, height: `${height}px` };
}

/** Scrolls until a cursor is clear of the edges; `cursor`: its start and size; `seen`: the visible range. */
function scrollInto(scroller: HTMLElement, way: "scrollLeft" | "scrollTop", [from, size]: Ends, [first, last]: Ends) {
  const now = scroller[way];
  if (from < now + first + CLEAR) scroller[way] = from - first - CLEAR;
  else if (from + size > now + last - CLEAR) scroller[way] = from + size - last + CLEAR;
}

/** The value under the pointer, or else at the cursor, in words and digits, with a button that opens the editor. */
export function Readout({ map, scene, pointed, edit }: HeatParts) {
  const { session, view } = useApp();
  const heard = useRef(""); // the cell that the arrow keys moved to
  const { value: shown } = scene;
  const { unit, step } = pointed.value ?? view;
  if (shown === null) return <p class="heat-readout" hidden />;
  const where = `unit ${unit}, step ${step} ${wordAt(shown.run, step, 14)}`.trimEnd();
  const what = `${shown.quantity} = ${format(valueAt(shown.track, shown.quantity, unit, step))}`;
  if (document.activeElement === map.current && pointed.value === null) heard.current = `${where}: ${what}`;
  return (
    <>
      <p class="heat-readout">
        <span class="soft">{where}</span>
        <span class="number heat-value">{what}</span>
        {session.model?.hasWeights && (
          <Button text={"Edit\u2026"} kind="quiet small" title="Change this value (Enter)" press={edit} />
        )}
        <span class="soft">{shown.about(unit)}</span>
      </p>
      <Says kind="unseen" text={heard.current} />
    </>
  );
}
