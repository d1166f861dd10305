// The pages and their panels, which are created when a page is first opened.

import type { ComponentType } from "preact";
import { AttributionPanel } from "studio/panels/attribution/index.js";
import { ComparePanel } from "studio/panels/compare/index.js";
import { mountEdits } from "studio/panels/edits/index.js";
import { ExplainPanel } from "studio/panels/explain/index.js";
import { HeatmapPanel } from "studio/panels/heatmap/index.js";
import { LedgerPanel } from "studio/panels/ledger/index.js";
import { LinesPanel } from "studio/panels/lines/index.js";
import { mountMicroscope } from "studio/panels/microscope/index.js";
import { SweepPanel } from "studio/panels/sweep/index.js";
import { SearchPanel } from "studio/panels/search/index.js";
import { SentencePanel } from "studio/panels/sentence/index.js";
import { mountStructure } from "studio/panels/structure/index.js";
import { TablePanel } from "studio/panels/table/index.js";
import { mountTour } from "studio/panels/tour/index.js";
import { TransportPanel } from "studio/panels/transport/index.js";
import { UnitsPanel } from "studio/panels/units/index.js";
import type { App } from "studio/state/types.js";
import type { View } from "studio/types.js";
import { mounted } from "studio/ui/app.js";
import { element } from "studio/ui/draw.js";

type Mount = (app: App) => Node;

const component = (Panel: ComponentType) => (app: App) => mounted(app, Panel);

// Matches windows large enough to show the line charts without scrolling.
const TALL = window.matchMedia("(min-width: 1060px) and (min-height: 960px)");

const PANELS: Record<View["page"], Mount[]> = {
  read: [mountDesk, mountEdits, component(TablePanel)],
  compare: [component(ComparePanel)],
  explain: [ExplainPanel, LedgerPanel, AttributionPanel, SweepPanel].map(component),
  units: [component(UnitsPanel)],
  search: [component(SearchPanel)],
  structure: [mountStructure],
};

/**
 * The main panels, which fill the window if it is large enough. The line charts come after them or are part of them.
 */
function mountDesk(app: App) {
  const desk = element(
    "div",
    { class: "desk" },
    [component(SentencePanel), component(TransportPanel), component(HeatmapPanel), mountMicroscope].map((mount) =>
      mount(app),
    ),
  );
  const lines = mounted(app, LinesPanel);
  const parts = new DocumentFragment();
  parts.append(desk, lines);
  const place = () => (TALL.matches ? desk.append(lines) : desk.after(lines));
  TALL.addEventListener("change", place);
  place();
  return parts;
}

/** @returns the pages, and the tour on top */
export function mountPages(app: App): HTMLElement[] {
  const names = Object.keys(PANELS) as View["page"][];
  const pages = new Map(names.map((name) => [name, element("main", { class: `page page-${name}`, hidden: true })]));
  const turn = () => {
    const { page: wanted } = app.store.get();
    for (const [name, page] of pages) page.hidden = name !== wanted;
    const page = pages.get(wanted) as HTMLElement;
    if (page.childElementCount > 0) return;
    app.session.introduce(() => page.append(...PANELS[wanted].map((mount) => mount(app))));
  };
  app.store.subscribe(["page"], turn);
  turn();
  return [...pages.values(), mountTour(app)];
}
