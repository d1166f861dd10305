// The heat map's static layers, which are drawn when the run or the selection changes, but never while scrubbing. The
// tokens have their own canvas, so that they stay visible when the units are scrolled.

import { type HeatLayout, type Scene, SLANT } from "studio/panels/heatmap/layout.js";
import { quantityWidth, shortToken } from "studio/state/run.js";
import type { Ends } from "studio/ui/line.js";
import { valueImage } from "studio/ui/scales.js";
import { fontFamily, measure, resolved } from "studio/ui/theme.js";

export const LONGEST_TOKEN = 12;
const SIZE = "11px";
const MOST_MEASURED = 200; // the dates of a longer series are alike

/** @param ends of the scale */
export function drawHeat(context: CanvasRenderingContext2D, scene: Scene, ends: Ends) {
  const { layout } = scene;
  const { left, pitch, steps, pinned, order } = layout;
  context.clearRect(0, 0, layout.width, layout.height);
  context.imageSmoothingEnabled = pitch < 1;
  const draw = (units: number[], top: number, high: number) =>
    context.drawImage(image(scene, units, ends), left, top, pitch * steps, units.length * high);
  if (pinned.length > 0) draw(pinned, layout.top, layout.pinHeight);
  draw(order, layout.mapTop, layout.rowHeight);
  drawUnits(context, layout);
}

/** Values that a trace did not record have the colour of the low end. */
function image({ track, quantity, layout: { steps: T } }: Scene, units: readonly number[], ends: Ends) {
  const [values, width] = [track.values[quantity], quantityWidth(track.info, quantity)];
  const at = (k: number) => values[(k % T) * width + units[Math.floor(k / T)]];
  return valueImage(T, units.length, (k) => (Number.isNaN(at(k)) ? ends[0] : at(k)), quantity, ends);
}

export function drawTokens(context: CanvasRenderingContext2D, layout: HeatLayout, tokens: readonly string[]) {
  context.clearRect(0, 0, layout.width, layout.top);
  context.font = `${SIZE} ${fontFamily("--sans")}`;
  context.fillStyle = resolved("--ink");
  tokens.forEach((token, t) => {
    if (t % layout.every !== 0) return;
    context.save();
    context.translate(layout.left + (t + 0.5) * layout.pitch, layout.top - 6);
    if (layout.slanted) context.rotate((SLANT * Math.PI) / 180);
    context.textAlign = layout.slanted ? "left" : "center";
    context.fillText(shortToken(token, LONGEST_TOKEN), 0, layout.slanted ? 4 : 0);
    context.restore();
  });
}

function drawUnits(context: CanvasRenderingContext2D, layout: HeatLayout) {
  context.font = `${SIZE} ${fontFamily("--sans")}`;
  context.textAlign = "right";
  context.fillStyle = resolved("--ink");
  layout.pinned.forEach((unit, k) =>
    context.fillText(`${unit}`, layout.left - 8, layout.top + k * layout.pinHeight + 11.5),
  );
  context.fillStyle = resolved("--ink-soft");
  if (layout.rowHeight < 11) return;
  layout.order.forEach((unit, k) => {
    context.fillText(`${unit}`, layout.left - 8, layout.mapTop + (k + 0.5) * layout.rowHeight + 4);
  });
}

/** @returns the width of the longest in pixels */
export function longestToken(tokens: readonly string[]): number {
  const measured = measure(`${SIZE} ${fontFamily("--sans")}`);
  const every = tokens.length > 10 * MOST_MEASURED ? Math.ceil(tokens.length / MOST_MEASURED) : 1;
  const some = every > 1 ? tokens.filter((_, t) => t % every === 0) : tokens;
  return some.reduce((most, token) => Math.max(most, measured(shortToken(token, LONGEST_TOKEN))), 8);
}
