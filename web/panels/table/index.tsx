// The state table: a row for each step, with the prediction and the six values of the pinned units.

import { useComputed } from "@preact/signals";
import { TablePicture } from "studio/panels/table/picture.js";
import { type Column, type Row, filterExample, sortedRows, tableColumns } from "studio/panels/table/rows.js";
import { shownToken } from "studio/state/tokens.js";
import { useApp, useDerived, useTyping } from "studio/ui/app.js";
import { format } from "studio/ui/draw.js";
import { Panel } from "studio/ui/panel.js";

const HELP =
  "Everything at each step as numbers. Click a heading to sort, a row to go to its step. The filter finds text in " +
  "the text columns, and compares a column with a number, as in step>9 or f12>0.9; rows must match all " +
  "conditions.";
const REST = 120; // milliseconds

export function TablePanel() {
  const { store, session, view } = useApp();
  const columns = useComputed(() => tableColumns(session, view));
  const rows = useComputed(() => sortedRows(columns.value, session, view));
  const filter = useTyping(
    view.filter,
    (text) => store.set({ filter: text }),
    () => REST,
  );

  /** @param write formats a number */
  const texts = (write: (value: number) => string): string[][] => {
    if (columns.value.length === 0) return [];
    return [
      columns.value.map(({ group, title }) => `${group}${title}`),
      ...rows.value.map(({ values }) => values.map((value) => (typeof value === "number" ? write(value) : value))),
    ];
  };
  const picture = () => {
    const written = texts((value) => (Number.isInteger(value) ? String(value) : format(value)));
    return written.length > 0 ? <TablePicture rows={written} /> : null;
  };
  const example = useComputed(() => filterExample(columns.value, session, view)).value;
  const count = useComputed(() => {
    const [shown, steps] = [rows.value.length, session.run?.steps ?? 0];
    return shown === steps ? `${steps} rows` : `${shown} of ${steps} rows`;
  });
  return (
    <Panel
      {...{ id: "table", title: "State table", help: HELP }}
      picture={picture}
      exports={{ csv: () => texts(String) }}
      tools={
        <>
          <input
            {...{ type: "search", class: "filter", "aria-label": "Filter rows", ...filter }}
            placeholder={example === "" ? "Filter" : `Filter: ${example}`}
          />
          <span class="soft" role="status">
            {count}
          </span>
        </>
      }
      draw={() => (
        <div class="table-scroll" tabindex={0} role="group" aria-label="State table (scrolls)">
          <table class="state-table">
            <thead>
              <tr>
                {columns.value.map((column) => (
                  <Heading column={column} />
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.value.map((row) => (
                <Line key={row.step} row={row} columns={columns.value} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    />
  );
}

/** A column's title, which sorts by it. */
function Heading({ column: { key, title, group } }: { column: Column }) {
  const { store, view } = useApp();
  const [up, down] = [view.rows === key, view.rows === `-${key}`];
  return (
    <th scope="col" data-key={key} aria-sort={up ? "ascending" : down ? "descending" : undefined}>
      <button
        type="button"
        class="table-sort"
        title={`Sort by ${group}${title}`}
        onClick={() => store.set({ rows: up ? `-${key}` : key })}
      >
        {group !== "" && <span class="table-group">{group}</span>}
        <span>{title}</span>
        <span class="table-arrow">{up ? "\u25b4" : down ? "\u25be" : ""}</span>
      </button>
    </th>
  );
}

function Line({ row, columns }: { row: Row; columns: Column[] }) {
  const { store, player, view } = useApp();
  const current = useDerived(() => (view.step === row.step ? "step" : undefined), [row.step]);
  const choose = () => {
    player.pause();
    store.set({ step: row.step });
  };
  return (
    <tr onClick={choose} data-step={row.step} aria-current={current}>
      {columns.map(({ key, digits, type }, k) => {
        const value = row.values[k];
        if (key === "step") {
          return (
            <th scope="row">
              <button type="button" class="table-step" aria-label={`Go to step ${value}`}>
                {value}
              </button>
            </th>
          );
        }
        if (type === "text") return <td class={`table-${key}`}>{shownToken(String(value))}</td>;
        return <td class="number">{Number.isFinite(value) ? Number(value).toFixed(digits) : "\u2013"}</td>;
      })}
    </tr>
  );
}
