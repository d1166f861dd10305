// Shows the numbers of one step on their way through the cell, as small labels that move along the wires once per step.

import { along, flowColour } from "studio/panels/microscope/pipes.js";
import type { Layout, Wire } from "studio/panels/microscope/types.js";
import { svg } from "studio/ui/draw.js";
import { isCalm } from "studio/ui/theme.js";

const SIZE = { width: 38, height: 17 };
const JOURNEY = 800; // duration in milliseconds, if there is time

/** @param times when each number moves, as fractions of the whole time */
export function tokens(
  layout: Layout,
  times: Record<string, [number, number]>,
): { root: SVGElement; run: (values: Record<string, number>, time: number) => void; stop: () => void } {
  const travellers = layout.wires.map((wire) => traveller(wire, times[wire.name]));
  const root = svg(
    "g",
    { class: "hs-tokens", "aria-hidden": "true" },
    travellers.map(({ root }) => root),
  );
  let frame = 0;
  const stop = () => {
    cancelAnimationFrame(frame);
    for (const one of travellers) one.at(-1);
  };
  const run = (values: Record<string, number>, time: number) => {
    const journey = Math.min(JOURNEY, 0.9 * time);
    stop();
    if (isCalm()) return;
    for (const one of travellers) one.carry(values);
    const start = performance.now();
    const tick = (now: number) => {
      const part = (now - start) / journey;
      for (const one of travellers) one.at(part);
      if (part < 1) frame = requestAnimationFrame(tick);
      else stop();
    };
    frame = requestAnimationFrame(tick);
  };
  return { root, run, stop };
}

/** One label on one wire: `carry` sets its number, and `at` places it at a fraction of the way, or hides it. */
function traveller(wire: Wire, [begin, end]: [number, number]) {
  const text = svg("text", { "text-anchor": "middle", y: 4 });
  const box = svg("rect", { x: -SIZE.width / 2, y: -SIZE.height / 2, rx: SIZE.height / 2, ...SIZE });
  const root = svg("g", { class: "hs-token", display: "none" }, [box, text]);
  const carry = (values: Record<string, number>) => {
    const value = values[wire.name] ?? values.m;
    text.textContent = value.toFixed(2);
    box.setAttribute("stroke", flowColour(wire.name, value));
  };
  const at = (part: number) => {
    const away = part < begin || part > end;
    root.setAttribute("display", away ? "none" : "inline");
    if (away) return;
    const { x, y } = along(wire.points, (part - begin) / (end - begin));
    root.setAttribute("transform", `translate(${x} ${y})`);
  };
  return { root, carry, at };
}
