// The three pages and the panels on them. Those of a page that nobody has turned to are not made yet.

import { element } from "studio/app/draw.js";
import { mountCompare } from "studio/panels/compare.js";
import { mountEdits } from "studio/panels/edits.js";
import { mountHeatmap } from "studio/panels/heatmap.js";
import { mountLines } from "studio/panels/lines.js";
import { mountMicroscope } from "studio/panels/microscope.js";
import { mountSentence } from "studio/panels/sentence.js";
import { mountStructure } from "studio/panels/structure.js";
import { mountTable } from "studio/panels/table.js";
import { mountTour } from "studio/panels/tour.js";
import { mountTransport } from "studio/panels/transport.js";

/** @typedef {import("studio/types.js").View} View */
/** @typedef {import("studio/app/panel.js").App} App */
/** @typedef {(app: App) => HTMLElement} Mount */

/** @type {Record<View["page"], Mount[]>} */
const PANELS = {
  read: [mountDesk, mountLines, mountEdits, mountTable],
  compare: [mountCompare],
  structure: [mountStructure],
};

/**
 * What one looks at together: it fills the window, where that is large enough.
 * @param {App} app
 */
function mountDesk(app) {
  return element("div", { class: "desk" }, [mountSentence, mountTransport, mountHeatmap, mountMicroscope].map((mount) => mount(app)));
}

/**
 * @param {App} app
 * @returns {HTMLElement[]} the pages, and the tour over them
 */
export function mountPages(app) {
  const names = /** @type {View["page"][]} */ (Object.keys(PANELS));
  const pages = new Map(names.map((name) => [name, element("main", { class: `page page-${name}`, hidden: true })]));
  const turn = () => {
    const { page: wanted } = app.store.get();
    for (const [name, page] of pages) page.hidden = name !== wanted;
    const page = /** @type {HTMLElement} */ (pages.get(wanted));
    if (page.childElementCount === 0) page.append(...PANELS[wanted].map((mount) => mount(app)));
  };
  app.store.subscribe(["page"], turn);
  turn();
  return [...pages.values(), mountTour(app)];
}
