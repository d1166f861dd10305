// The pages and their panels, which are created when a page is first opened.

import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { AttributionPanel } from "studio/panels/attribution/index.js";
import { ComparePanel } from "studio/panels/compare/index.js";
import { EditsPanel } from "studio/panels/edits/index.js";
import { ExplainPanel } from "studio/panels/explain/index.js";
import { HeatmapPanel } from "studio/panels/heatmap/index.js";
import { LagsPanel } from "studio/panels/lags/index.js";
import { LedgerPanel } from "studio/panels/ledger/index.js";
import { LinesPanel } from "studio/panels/lines/index.js";
import { MicroscopePanel } from "studio/panels/microscope/index.js";
import { SearchPanel } from "studio/panels/search/index.js";
import { SentencePanel } from "studio/panels/sentence/index.js";
import { StructurePanel } from "studio/panels/structure/index.js";
import { SweepPanel } from "studio/panels/sweep/index.js";
import { TablePanel } from "studio/panels/table/index.js";
import { Tour } from "studio/panels/tour/index.js";
import { TransportPanel } from "studio/panels/transport/index.js";
import { UnitsPanel } from "studio/panels/units/index.js";
import type { View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { Panel } from "studio/ui/panel.js";

// Matches windows large enough to show the line charts without scrolling.
const TALL = window.matchMedia("(min-width: 1060px) and (min-height: 960px)");

declare const WITH_INDEX: boolean; // of a corpus; a page without one has no panels that need it

const PANELS: Record<View["page"], ComponentType[]> = {
  read: [Desk, EditsPanel, TablePanel],
  compare: [ComparePanel],
  explain: [ExplainPanel, LagsPanel, LedgerPanel, AttributionPanel, SweepPanel],
  units: [WITH_INDEX ? UnitsPanel : WithoutIndex],
  search: [WITH_INDEX ? SearchPanel : WithoutIndex],
  structure: [StructurePanel],
};
const NAMES = Object.keys(PANELS) as View["page"][];

/** In place of the panels of an index, which an address may ask for. */
function WithoutIndex() {
  const { corpus, view } = useApp();
  return (
    <Panel id={view.page} title={view.page === "units" ? "Units" : "Search"} help={corpus.reason}>
      <p role="status">{corpus.reason}</p>
    </Panel>
  );
}

export function Pages() {
  const { view } = useApp();
  const opened = useRef(new Set<View["page"]>());
  opened.current.add(view.page);
  return (
    <>
      {NAMES.map((name) => (
        <main class={`page page-${name}`} hidden={name !== view.page}>
          {opened.current.has(name) && PANELS[name].map((Panel) => <Panel />)}
        </main>
      ))}
      <Tour />
    </>
  );
}

/** The main panels, which fill a large window. The line charts come after them, or are part of them. */
function Desk() {
  const isTall = useSignal(TALL.matches);
  useEffect(() => {
    const follow = () => (isTall.value = TALL.matches);
    TALL.addEventListener("change", follow);
    return () => TALL.removeEventListener("change", follow);
  }, []);
  return (
    <>
      <div class="desk">
        <SentencePanel />
        <TransportPanel />
        <HeatmapPanel />
        <MicroscopePanel />
        {isTall.value && <LinesPanel />}
      </div>
      {!isTall.value && <LinesPanel />}
    </>
  );
}
