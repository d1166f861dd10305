// Charts the six values of the pinned units over the sentence, with the gates above and the memory below.

import { chartHeight, type ChartProps, LiveChart, UnitChart, chartReach, stepAt } from "studio/panels/lines/chart.js";
import type { App } from "studio/state/types.js";
import { shownUnits, trackOf, valueAt } from "studio/state/run.js";
import type { View } from "studio/types.js";
import { useApp, useStep } from "studio/ui/app.js";
import { Panel, Unread } from "studio/ui/panel.js";
import { Stage, useScrub } from "studio/ui/stage.js";

const HELP =
  "Each pinned unit over the sentence. At the top, its three gates from 0 (closed) to 1 (open): i writes, f keeps, o " +
  "outputs. Below, the candidate g, the cell state c (the memory), and the hidden state h, which the rest of the " +
  "network sees (with a projection, which mixes all units, the element of h with this index). Drag to scrub; the numbers on the right are the values at the cursor.";

export function LinesPanel() {
  const { store, session, view } = useApp();
  const step = useStep();

  const charts = (width: number): ChartProps[] => {
    const { run, model } = session;
    if (run === null || model === null) return [];
    const [units, track] = [shownUnits(view), trackOf(run, view.track)];
    const reach = chartReach(run, track, units);
    return units.map((unit, k) => {
      return { model, run, track, unit, width, reach, tokens: k === units.length - 1, step };
    });
  };
  const scrub = useScrub((x, width) => stepAt(x, width, session.run?.steps ?? 0));
  return (
    <Panel
      {...{ id: "lines", title: "Units over time", help: HELP }}
      picture={(width) => session.run && <LinesPicture charts={charts(Math.max(480, width))} />}
      exports={{ csv: () => lineRows(session, store.get()) }}
      draw={() => (
        <>
          <Unread />
          <Stage class="lines" {...scrub}>
            {(width) => charts(width).map((props) => <LiveChart {...props} />)}
          </Stage>
          {session.run !== null && view.pinned.length === 0 && (
            <p class="soft hint">Pin units in the heat map to see several of them here.</p>
          )}
        </>
      )}
    />
  );
}

function LinesPicture({ charts }: { charts: ChartProps[] }) {
  let height = 0;
  const placed = charts.map((props) => {
    const y = height;
    height += chartHeight(props.model, props.tokens);
    return <UnitChart {...props} y={y} />;
  });
  const width = charts[0].width;
  return (
    <svg class="lines-picture" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      {placed}
    </svg>
  );
}

function lineRows({ run, model }: App["session"], view: View): string[][] {
  if (run === null || model === null) return [];
  const track = trackOf(run, view.track);
  const rows = shownUnits(view).flatMap((unit) =>
    run.tokens.map((token, t) => {
      const values = model.quantities.map((name) => valueAt(track, name, unit, t));
      return [view.track, unit, t, token, ...values].map(String);
    }),
  );
  return [["track", "unit", "step", "token", ...model.quantities], ...rows];
}
