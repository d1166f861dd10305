// The numbers that a layer reads, as lines over the steps. A click or a drag moves the cursor.

import type { App } from "studio/state/types.js";
import type { Run } from "studio/types.js";
import { element, label, set, svg, tick } from "studio/ui/draw.js";
import { onResize } from "studio/ui/visibility.js";

interface Plot {
  columns: Float32Array[]; // numbers over time, of as many columns as can be distinguished
  all: number; // the total number of columns
  low: number;
  high: number;
  width: number;
}

const HEIGHT = 96;
const LEFT = 40;
const RIGHT = 92;
const PAD = 6;
const MOST = 8; // number of lines that can be distinguished

export function createSignal({ store, session, player }: App): { root: HTMLElement } {
  const root = element("div", { class: "signal", hidden: true });
  let width = 0;
  let show: ((step: number) => void) | null = null;
  const draw = () => {
    const plot = width > 0 ? plotOf(session.run, width) : null;
    show = null;
    if (plot === null) return root.replaceChildren();
    const { picture, mark } = drawn(plot);
    show = mark;
    root.replaceChildren(picture);
    return show(store.get().step);
  };
  session.on("run", () => {
    root.hidden = session.run === null || !readsNumbers(session.run);
    draw();
  });
  store.subscribe(["step"], ({ step }) => show?.(step));
  onResize(root, (wide) => {
    width = wide;
    draw();
  });
  const go = (event: PointerEvent) => {
    const T = session.run?.steps ?? 0;
    const box = root.getBoundingClientRect();
    const step = Math.floor(((event.clientX - box.left - LEFT) * T) / (box.width - LEFT - RIGHT));
    if (step >= 0 && step < T) store.set({ step });
  };
  root.addEventListener("pointerdown", (event) => (player.pause(), go(event)));
  root.addEventListener("pointermove", (event) => event.buttons === 1 && go(event));
  return { root };
}

function plotOf(run: Run | null, width: number): Plot | null {
  const track = run?.tracks[0];
  if (!run || !track?.input) return null;
  const { input, info } = track;
  const columns = Array.from({ length: Math.min(info.inputSize, MOST) }, (_, column) =>
    Float32Array.from({ length: run.steps }, (__, t) => input[t * info.inputSize + column]),
  );
  const high = columns.reduce((most, values) => values.reduce((max, value) => Math.max(max, value), most), 0);
  const low = columns.reduce((least, values) => values.reduce((min, value) => Math.min(min, value), least), 0);
  return { columns, all: info.inputSize, low, high: high > low ? high : low + 1, width };
}

/** @returns null if no numbers are known */
export function signalPicture(run: Run, width: number, step: number): SVGSVGElement | null {
  const plot = plotOf(run, width);
  if (plot === null) return null;
  const { picture, mark } = drawn(plot);
  mark(step);
  return picture;
}

function drawn({ columns, all, low, high, width }: Plot): { picture: SVGSVGElement; mark: (step: number) => void } {
  const T = columns[0]?.length ?? 0;
  const x = (t: number) => LEFT + ((t + 0.5) * (width - LEFT - RIGHT)) / Math.max(1, T);
  const y = (value: number) => PAD + (HEIGHT - 2 * PAD) * (1 - (value - low) / (high - low));
  const shade = (k: number) => 1 - (0.75 * k) / Math.max(1, columns.length);
  const lines = columns.map((values, k) =>
    svg("polyline", {
      class: "signal-line",
      "stroke-opacity": shade(k),
      points: Array.from(values, (value, t) => `${x(t).toFixed(1)},${y(value).toFixed(1)}`).join(" "),
    }),
  );
  const cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT });
  const pitch = Math.min(14, (HEIGHT - 2) / Math.max(1, columns.length));
  const numbers = columns.map((_, k) => label(width, 10 + k * pitch, "signal-number", "end"));
  const names = columns.map((_, k) => label(width - RIGHT + 12, 10 + k * pitch, "signal-name", "start", `x${k}`));
  const axis = [
    svg("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: y(0), y2: y(0) }),
    ...[low, high].map((value) => label(LEFT - 6, y(value) + 4, "tick", "end", tick(value.toFixed(1)))),
  ];
  const left = columns.length < all ? `${columns.length} of ${all} columns` : "";
  const note = label(width - RIGHT - 2, HEIGHT - 3, "signal-note", "end", left);
  const picture = svg(
    "svg",
    {
      class: "signal-picture",
      width,
      height: HEIGHT,
      role: "img",
      "aria-label": `Input: ${left || `${all} columns`}, ${T} numbers each`,
    },
    [...axis, ...lines, cursor, note, ...names, ...numbers],
  );
  const mark = (step: number) => {
    set(cursor, "x1", x(step));
    set(cursor, "x2", x(step));
    columns.forEach((values, k) => (numbers[k].textContent = (values[step] ?? NaN).toFixed(4)));
  };
  return { picture, mark };
}

/** Whether a run's steps have no words and are shown as a signal. */
export function readsNumbers(run: Run) {
  return run.heads.length === 0 && run.tracks[0].input !== null && run.tokens.every((token) => /^\d+$/.test(token));
}
