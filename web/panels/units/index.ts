// The units of an indexed corpus: a gallery of all units, and the card of the selected one.

import { createUnitCard } from "studio/panels/units/card.js";
import { arranged, UNIT_COLUMNS } from "studio/panels/units/columns.js";
import { createGallery } from "studio/panels/units/gallery.js";
import type { UnitTable } from "studio/state/corpus.js";
import type { App } from "studio/state/types.js";
import { element } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";

const GALLERY_HELP =
  "Every unit of the index. Its label is the one with the largest correlation on one half of the sequences; r is the " +
  "correlation on the other half. A correlation is not an effect: the card shows what zeroing the unit does. Click a " +
  "heading to sort; move through the units with the arrow keys.";
const CARD_HELP =
  "Contexts where the unit is highest and lowest, and random ones, each word in the colour of the unit's value there. p " +
  "is the fraction of shifted labels that correlate at least as strongly. A unit is used for its label if zeroing it costs " +
  "most there, more than zeroing any unit of about the same size. A confirmed label does not mean that the unit has only " +
  "one job.";

export function mountUnits(app: App): DocumentFragment {
  const { store, session, corpus } = app;
  let table: UnitTable | null = null;
  const csv = () => {
    if (table === null) return [];
    const { columns } = table;
    const keys = UNIT_COLUMNS.map(({ key }) => key).filter((key) => key !== "shape");
    const { unitRows, unitFilter } = store.get();
    return [
      keys,
      ...arranged(columns, unitRows, unitFilter).map((k) => keys.map((key) => String(columns[key][k] ?? ""))),
    ];
  };
  const gallery = createGallery(app);
  const card = createUnitCard(app, () => table);
  const all = panel({ id: "units", title: "Units", help: GALLERY_HELP, exports: corpus.reason === "" ? { csv } : {} });
  const one = panel({ id: "unit-card", title: "One unit", help: CARD_HELP });
  const says = element("p", { class: "soft", role: "status", text: corpus.reason || "Reading the index\u2026" });
  all.tools.append(gallery.filter, gallery.count);
  all.body.append(says);
  one.root.hidden = true;
  one.body.append(card.root);
  const made = new DocumentFragment();
  made.append(all.root, one.root);
  gallery.filter.hidden = corpus.reason !== "";
  if (corpus.reason !== "") return made;
  corpus.units().then(
    (known) => {
      table = known;
      all.body.replaceChildren(gallery.root);
      all.root.classList.toggle(
        "with-memory",
        known.columns.time_constant.some((value, k) => value !== null || known.columns.never_forgets[k]),
      );
      one.root.hidden = false;
      gallery.show(known);
      card.update();
    },
    (error) => (says.textContent = error.message),
  );
  store.subscribe(["page", "track", "quantity", "unit"], card.update);
  session.on("run", card.update);
  return made;
}
