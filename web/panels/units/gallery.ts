// The gallery, with a row for each unit of the index. Only the rows in view are in the page.

import { type UnitTable, addressOf, unitOf } from "studio/state/corpus.js";
import { arranged, UNIT_COLUMNS } from "studio/panels/units/columns.js";
import type { App } from "studio/state/types.js";
import { element, set, svg } from "studio/ui/draw.js";
import { quantityColour } from "studio/ui/scales.js";
import { virtualList } from "studio/ui/virtual-list.js";

const ROW = 30;
const SHAPE = { width: 80, height: 20 };

export function createGallery({ store }: App): {
  root: HTMLElement;
  count: HTMLElement;
  filter: HTMLElement;
  show: (table: UnitTable) => void;
} {
  let table: UnitTable | null = null;
  let order: number[] = [];
  const count = element("span", { class: "soft", role: "status" });
  const filter = element("input", {
    type: "search",
    class: "filter units-filter",
    placeholder: "Filter: l1.h NOUN",
    "aria-label": "Filter units",
    on: { input: () => store.set({ unitFilter: filter.value }) },
  });
  filter.value = store.get().unitFilter;
  const sorts = UNIT_COLUMNS.map(({ key, title, about }) => {
    const sort = () => store.set({ unitRows: store.get().unitRows === `-${key}` ? key : `-${key}` });
    const button = element("button", {
      type: "button",
      text: title,
      title: `${title}: ${about}. Sort by it.`,
      on: { click: sort },
    });
    button.dataset.key = key;
    return button;
  });
  const head = element("div", { class: "unit-row units-head", role: "group", "aria-label": "Sort units by" }, sorts);
  const list = virtualList({
    id: "units-list",
    label: "Units",
    height: ROW,
    row: (k) => line(table as UnitTable, order[k]),
    choose: (k) => store.set(unitOf((table as UnitTable).columns.unit[order[k]])),
  });
  const current = () => {
    const address = addressOf(store.get());
    return order.findIndex((k) => table?.columns.unit[k] === address);
  };
  const draw = () => {
    if (table === null) return;
    const { unitRows, unitFilter } = store.get();
    order = arranged(table.columns, unitRows, unitFilter);
    const all = table.columns.unit.length;
    count.textContent =
      order.length === all
        ? `${all.toLocaleString("en")} units`
        : `${order.length.toLocaleString("en")} of ${all.toLocaleString("en")} units`;
    for (const button of sorts) {
      const way =
        unitRows === button.dataset.key ? "ascending" : unitRows === `-${button.dataset.key}` ? "descending" : null;
      set(button, "data-way", way);
      set(button, "aria-pressed", String(way !== null));
    }
    list.show(order.length, current());
  };
  store.subscribe(["unitRows", "unitFilter"], draw);
  store.subscribe(["unitFilter"], ({ unitFilter }) => {
    if (document.activeElement !== filter) filter.value = unitFilter;
  });
  store.subscribe(["track", "quantity", "unit"], () => list.mark(current()));
  const show = (known: UnitTable) => {
    table = known;
    draw();
    if (current() >= 0) list.reveal(current());
  };
  return { root: element("div", { class: "units-gallery" }, [head, list.root]), count, filter, show };
}

function line({ columns }: UnitTable, k: number) {
  const { quantity } = unitOf(columns.unit[k]);
  return element(
    "div",
    { class: "unit-row" },
    UNIT_COLUMNS.map(({ key, write }) => {
      if (key === "shape") return element("span", { class: "unit-shape" }, [shape(columns.shape[k], quantity)]);
      return element("span", { class: `unit-${key}`, text: write(columns[key][k], columns.never_forgets[k]) });
    }),
  );
}

/** @param digits the height of each bar */
function shape(digits: string, quantity: string) {
  const { width, height } = SHAPE;
  const step = width / digits.length;
  const bars = [...digits].map(
    (digit, k) => `M${k * step} ${height}v${(-Number(digit) * height) / 9}h${step}V${height}z`,
  );
  const path = svg("path", { d: bars.join(""), fill: quantityColour(quantity) });
  return svg("svg", { ...SHAPE, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, [path]);
}
