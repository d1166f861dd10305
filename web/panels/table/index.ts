// The state table: a row for each step, with the prediction and the six values of the pinned units.

import { type Column, type Row, columnsOf, exampleOf, shownRows } from "studio/panels/table/rows.js";
import { shownToken } from "studio/state/tokens.js";
import type { App } from "studio/state/types.js";
import { element, format, set } from "studio/ui/draw.js";
import { panel } from "studio/ui/panel.js";
import { tablePicture } from "studio/ui/table-picture.js";
import { whenSeen } from "studio/ui/visibility.js";

const HELP =
  "Everything at each step as numbers. Click a heading to sort, a row to go to its step. The filter finds text in " +
  "the text columns, and compares a column with a number, as in step>9 or f12>0.9; rows must match all " +
  "conditions.";
const REST = 120;

export function mountTable(app: App): HTMLElement {
  const { store, session } = app;
  const picture = () => {
    const rows = tableRows(app, (value) => (Number.isInteger(value) ? String(value) : format(value)));
    return rows.length > 0 ? tablePicture(rows) : null;
  };
  const { root, body, tools } = panel({
    id: "table",
    title: "State table",
    help: HELP,
    exports: { svg: picture, png: picture, csv: () => tableRows(app, String) },
  });
  const head = element("thead");
  const rows = element("tbody");
  const count = element("span", { class: "soft", role: "status" });
  const filter = filterBox(app);
  tools.append(filter, count);
  body.append(
    element("div", { class: "table-scroll", tabindex: 0, role: "group", "aria-label": "State table (scrolls)" }, [
      element("table", { class: "state-table" }, [head, rows]),
    ]),
  );
  let byStep: Map<number, HTMLTableRowElement> = new Map();
  const draw = whenSeen(root, () => {
    const columns = columnsOf(session, store.get());
    const shown = shownRows(columns, session, store.get());
    head.replaceChildren(headings(app, columns));
    const example = exampleOf(columns, session, store.get());
    filter.placeholder = example === "" ? "Filter" : `Filter: ${example}`;
    byStep = new Map(shown.map((row) => [row.step, line(app, row, columns)]));
    rows.replaceChildren(...byStep.values());
    const steps = session.run?.steps ?? 0;
    count.textContent = shown.length === steps ? `${steps} rows` : `${shown.length} of ${steps} rows`;
    mark(store.get().step, -1);
  });
  const mark = (step: number, before: number) => {
    const [now, then] = [byStep.get(step), byStep.get(before)];
    if (then) set(then, "aria-current", null);
    if (now) set(now, "aria-current", "step");
  };
  session.on("run", draw);
  store.subscribe(["track", "pinned", "head", "rows", "filter"], draw);
  store.subscribe(["unit"], ({ pinned }) => pinned.length === 0 && draw());
  store.subscribe(["step"], ({ step }, { step: before }) => mark(step, before));
  return root;
}

function filterBox({ store }: App) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const box = element("input", {
    type: "search",
    class: "filter",
    "aria-label": "Filter rows",
    on: {
      input: () => {
        clearTimeout(timer);
        timer = setTimeout(() => store.set({ filter: box.value }), REST);
      },
    },
  });
  box.value = store.get().filter;
  store.subscribe(["filter"], ({ filter }) => {
    if (document.activeElement !== box) box.value = filter;
  });
  return box;
}

function headings({ store }: App, columns: Column[]) {
  const { rows } = store.get();
  return element(
    "tr",
    {},
    columns.map(({ key, title, group }) => {
      const [up, down] = [rows === key, rows === `-${key}`];
      const sort = () => store.set({ rows: up ? `-${key}` : key });
      const button = element(
        "button",
        { type: "button", class: "table-sort", title: `Sort by ${group}${title}`, on: { click: sort } },
        [
          group === "" ? null : element("span", { class: "table-group", text: group }),
          element("span", { text: title }),
          element("span", { class: "table-arrow", text: up ? "\u25b4" : down ? "\u25be" : "" }),
        ],
      );
      return element(
        "th",
        { scope: "col", "data-key": key, "aria-sort": up ? "ascending" : down ? "descending" : null },
        [button],
      );
    }),
  );
}

function line({ store, player }: App, row: Row, columns: Column[]) {
  const choose = () => (player.pause(), store.set({ step: row.step }));
  return element(
    "tr",
    { on: { click: choose }, "data-step": row.step },
    columns.map(({ key, digits, type }, k) => {
      const value = row.values[k];
      if (key === "step") {
        return element("th", { scope: "row" }, [
          element("button", { type: "button", class: "table-step", text: value, "aria-label": `Go to step ${value}` }),
        ]);
      }
      if (type === "text") return element("td", { text: shownToken(String(value)), class: `table-${key}` });
      const text = Number.isFinite(value) ? Number(value).toFixed(digits) : "\u2013";
      return element("td", { class: "number", text });
    }),
  );
}

/**
 * The sorted and filtered table; empty if nothing has been read.
 *
 * @param written formats a number
 */
function tableRows({ session, store }: App, written: (value: number) => string): string[][] {
  const columns = columnsOf(session, store.get());
  if (columns.length === 0) return [];
  const rows = shownRows(columns, session, store.get());
  return [
    columns.map(({ group, title }) => `${group}${title}`),
    ...rows.map(({ values }) => values.map((value) => (typeof value === "number" ? written(value) : value))),
  ];
}
