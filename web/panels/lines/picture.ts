// All charts of the panel in one picture.

import { createChart } from "studio/panels/lines/chart.js";
import { chartReach } from "studio/panels/lines/layout.js";
import type { App } from "studio/state/types.js";
import { shownUnits, trackOf } from "studio/state/units.js";
import { svg } from "studio/ui/draw.js";

/**
 * @param shown the width of the charts on the page
 * @returns null if nothing has been read
 */
export function linesPicture({ session, store }: App, shown: number): SVGSVGElement | null {
  const { run, model } = session;
  if (run === null || model === null) return null;
  const view = store.get();
  const [units, track, width] = [shownUnits(view), trackOf(run, view.track), Math.max(480, shown)];
  const reach = chartReach(run, track, units);
  let height = 0;
  const charts = units.map((unit, k) => {
    const chart = createChart({ model, run, track, unit, width, reach, tokens: k === units.length - 1 });
    chart.show(view.step);
    chart.root.setAttribute("y", String(height));
    height += chart.height;
    return chart.root;
  });
  return svg("svg", { class: "lines-picture", width, height, viewBox: `0 0 ${width} ${height}` }, charts);
}
