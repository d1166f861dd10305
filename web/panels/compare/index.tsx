// The compare page: two sentences, two models, or one run before and after its edits, with one cursor for both.

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { HowControls, openOnTwo, WhatControls } from "studio/panels/compare/controls.js";
import { Figure, FigurePicture } from "studio/panels/compare/figure.js";
import { createScene, figureLayout, type Layout, type Scene, whyBlank, whyEmpty } from "studio/panels/compare/scene.js";
import { columnReadout, comparisonRows, comparisonVerdict } from "studio/panels/compare/words.js";
import { useApp } from "studio/ui/app.js";
import { AsTable, Says } from "studio/ui/form.js";
import { Legend } from "studio/ui/legend.js";
import { Panel } from "studio/ui/panel.js";
import { Stage } from "studio/ui/stage.js";

const HELP =
  "Two runs, column by column. The heat maps share one scale, so equal colours mean equal numbers; the third shows " +
  "the difference. A ribbon has two strands, one for each run: they run together while both states are the same, and " +
  "otherwise are as far apart as the states (the Euclidean distance over all units). A word that is in only one " +
  "sentence is grey.";

const BLANK = "Two runs side by side: nothing to draw.";

export function ComparePanel() {
  const app = useApp();
  const { store, session, view } = app;
  const last = useRef<Scene | null>(null);
  // A column that only B has: the view's step is a step of A, so it can't represent it. It holds until the step changes.
  const only = useSignal<{ scene: Scene; step: number; k: number } | null>(null);
  const scene = useComputed(() =>
    view.page === "compare" ? (last.current = createScene(session, view)) : last.current,
  );
  const at = useComputed(() => {
    const { value: now } = scene;
    if (now && only.value?.scene === now && only.value.step === view.step) return only.value.k;
    return Math.max(0, now?.columns.findIndex(({ a }) => a === view.step) ?? 0);
  });
  const readout = useComputed(() => scene.value && columnReadout(scene.value, at.value, view.unit));
  useEffect(() => openOnTwo(app), []);
  const { value: shown } = scene;
  const verdict = shown && comparisonVerdict(shown);

  /** A click chooses the step, the unit and, on a ribbon, the track. While the button is down, the cursor follows. */
  const point = (event: PointerEvent & { currentTarget: HTMLElement }, layout: Layout) => {
    const box = event.currentTarget.querySelector(".compare-figure")?.getBoundingClientRect();
    if (!shown || !box) return;
    const k = Math.floor((event.clientX - box.left - layout.left) / layout.column);
    const column = shown.columns[k];
    if (!column) return;
    const y = event.clientY - box.top;
    const hit = layout.maps.find(({ top, height }) => y >= top && y < top + height);
    if (hit?.track) store.set({ unit: Math.floor(((y - hit.top) / hit.height) * hit.track.info.units) });
    if (column.a >= 0) store.set({ step: column.a });
    only.value = column.a >= 0 ? null : { scene: shown, step: store.get().step, k };
  };
  return (
    <Panel
      {...{ id: "compare", title: "Compare", help: HELP }}
      picture={(width) => shown && <FigurePicture scene={shown} width={width} unit={store.get().unit} />}
      exports={{ csv: () => (shown ? comparisonRows(shown) : []) }}
    >
      <WhatControls />
      <div class="compare-how">
        <HowControls />
        <div class="compare-legend">{shown && <Legend quantity={shown.quantity} />}</div>
      </div>
      <Says kind="compare-note" text={shown ? whyEmpty(session, view, shown.pair) : whyBlank(session, view)} />
      <Says kind="verdict" how="polite" text={verdict} />
      <p class="compare-readout">{readout}</p>
      <Stage
        {...{ class: "compare-stage scroll", tabindex: 0, role: "img" }}
        aria-label={shown ? `Two runs side by side. ${verdict}` : BLANK}
      >
        {(width) => {
          if (shown === null) return null;
          const layout = figureLayout(shown, width);
          return (
            <div
              onPointerDown={(event) => {
                point(event, layout);
                const band = event.target instanceof Element && event.target.closest<SVGElement>("[data-track]");
                if (band && band.dataset.track) store.set({ track: band.dataset.track });
              }}
              onPointerMove={(event) => event.buttons === 1 && event.pointerType === "mouse" && point(event, layout)}
            >
              <Figure {...{ scene: shown, layout, at }} />
            </div>
          );
        }}
      </Stage>
      <AsTable kind="compare" rows={() => (shown ? comparisonRows(shown) : [[]])} />
    </Panel>
  );
}
