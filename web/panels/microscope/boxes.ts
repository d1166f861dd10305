// The boxes of the circuit: gates, and the incoming and outgoing states.

import type { Numbers } from "studio/panels/microscope/tween.js";
import { type Moment, memoryBefore, squashName } from "studio/state/moment.js";
import type { Model } from "studio/types.js";
import { format, svg } from "studio/ui/draw.js";
import { changeOf, doingOf } from "studio/ui/moment-words.js";
import { type Box, pressable, text, value } from "studio/ui/svg-parts.js";

interface GateBox {
  root: SVGElement;
  write: (moment: Moment) => void;
  draw: (numbers: Numbers) => void;
}

/** A gate: its value, how far it is open, what that means, and its pre-activation. */
export function gateBox(
  { cell, meanings }: Model,
  gate: string,
  box: Box,
  { open, edit }: { open: () => void; edit: ((element: SVGElement) => void) | null },
): GateBox {
  const meaning = meanings[gate];
  const { x, y, width } = box;
  const number = value({ x: x + width - 76, y: y + 4, width: 70, height: 23 }, "end", edit);
  const meter = meterAt(
    { x: x + 10, y: y + 32, width: width - 20, height: 6 },
    gate,
    cell.activations[gate] !== "sigmoid",
  );
  const room = width - 20;
  const doing = text(x + 10, y + 65, "hs-soft", "start", "", room);
  const sum = text(x + 10, y + 78, "hs-soft hs-mono", "start", "", room);
  const back = svg("rect", { ...box, rx: 8, class: "hs-gate-back", stroke: `var(--q-${gate})` });
  const names = [
    text(x + 10, y + 22, "hs-letter", "start", gate),
    text(x + 10, y + 52, "hs-meaning", "start", meaning, room),
  ];
  const body = svg("g", {}, [back, ...names, meter.root, doing, sum]);
  pressable(body, `${meaning}: see how it is computed`, open);
  const write = ({ values, sums, computed }: Moment) => {
    number.show(format(values[gate]), `${meaning} ${format(values[gate])}`, gate in computed);
    doing.textContent = gate in computed ? "edited" : doingOf(gate, values[gate]);
    sum.textContent = sums[gate] ? `${squashName(cell, gate)}(${format(sums[gate].sum)})` : "";
  };
  return { root: svg("g", { class: `hs-gate hs-gate-${gate}` }, [body, number.root]), write, draw: meter.draw };
}

/** A bar for how far a gate is open, or how far the candidate is from zero. */
function meterAt(box: Box, gate: string, signed: boolean) {
  const zero = signed ? box.x + box.width / 2 : box.x;
  const scale = signed ? box.width / 2 : box.width;
  const back = svg("rect", { ...box, rx: 3, class: "hs-meter" });
  const bar = svg("rect", { y: box.y, height: box.height, rx: 3, fill: `var(--q-${gate})` });
  const tick = svg("line", { x1: zero, x2: zero, y1: box.y - 2, y2: box.y + box.height + 2, class: "hs-axis" });
  const draw = (numbers: Numbers) => {
    const length = Math.max(-1, Math.min(1, numbers[gate] || 0)) * scale;
    bar.setAttribute("x", String(Math.min(zero, zero + length)));
    bar.setAttribute("width", String(Math.abs(length)));
  };
  return { root: svg("g", {}, signed ? [back, bar, tick] : [back, bar]), draw };
}

interface StateBox {
  root: SVGElement;
  write: (moment: Moment, about: string) => void;
}

/**
 * A state: its name, its value, and its source or destination.
 *
 * @param name "c", "c_prev", "h"
 * @param changes whether its change is shown: of the memory
 */
export function stateBox(
  name: string,
  changes: boolean,
  box: Box,
  edit: ((element: SVGElement) => void) | null,
): StateBox {
  const { x, y, width } = box;
  const half = (width - 20) / 2; // beside the name; states that show a change have short names
  const title = text(x + 8, y + 16, "hs-letter hs-small", "start", "", changes ? half - 20 : width - 16);
  const change = text(x + width - 8, y + 15, "hs-soft hs-mono hs-change", "end", "", half + 20);
  const number = value({ x: x + 3, y: y + 18, width: width - 6, height: 21 }, "middle", edit);
  const about = text(x + width / 2, y + 50, "hs-soft", "middle", "", width - 6);
  const back = svg("rect", { ...box, rx: 8, class: "hs-state-back", stroke: `var(--q-${name[0]})` });
  const write = (moment: Moment, words: string) => {
    const { cell, values, computed, shown } = moment;
    const key = name === "h" ? shown : name;
    title.textContent = key;
    if (changes) {
      const by = values[key] - values[memoryBefore(cell)];
      change.textContent = `${by < 0 ? "↓" : "↑"}${format(Math.abs(by))}`;
    }
    number.show(
      format(values[key]),
      `${key} ${format(values[key])}${changes ? `, ${changeOf(moment)}` : ""}`,
      key in computed,
    );
    about.textContent = key in computed ? "edited" : words;
  };
  return { root: svg("g", { class: `hs-state hs-state-${name}` }, [back, title, change, number.root, about]), write };
}

/**
 * A part of a gate's sum: its name, its value and its equation.
 *
 * @param name "n_h", "from_x"
 * @param open shows the whole sum
 */
export function partBox(
  name: string,
  gate: string,
  about: string,
  box: Box,
  open: () => void,
): { root: SVGElement; write: (moment: Moment) => void } {
  const { x, y, width, height } = box;
  const spoken = name.replace("_", " ");
  const back = svg("rect", {
    ...box,
    rx: 8,
    class: "hs-state-back",
    stroke: `var(--q-${gate})`,
    "stroke-dasharray": "4 3",
  });
  const title = text(
    x + 10,
    y + 20,
    "hs-letter hs-small",
    "start",
    name.startsWith("from") ? spoken : name,
    width / 2 - 14,
  );
  const number = text(x + width - 12, y + 21, "hs-number", "end", "", width / 2 - 6);
  const words = text(x + 10, y + height - 12, "hs-soft hs-mono", "start", about, width - 20);
  const root = svg("g", { class: "hs-part-of-sum" }, [back, title, number, words]);
  pressable(root, `${spoken}: see how it is computed`, open);
  const write = ({ values }: Moment) => {
    number.textContent = format(values[name]);
    root.setAttribute("aria-label", `${spoken} ${format(values[name])}: see how it is computed`);
  };
  return { root, write };
}
