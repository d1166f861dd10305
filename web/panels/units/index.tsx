// The units of an indexed corpus: a gallery of all units, and the card of the selected one.

import { useComputed } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { OPEN, SHUT } from "studio/facts.js";
import { Card } from "studio/panels/units/card.js";
import { parseAddress, type UnitTable, unitAddress, type UnitColumns } from "studio/state/corpus.js";
import { useApp } from "studio/ui/app.js";
import { percent, tick } from "studio/ui/draw.js";
import { Button, Says } from "studio/ui/form.js";
import { Panel } from "studio/ui/panel.js";
import { quantityColour } from "studio/ui/scales.js";
import { VirtualList } from "studio/ui/virtual-list.js";

const GALLERY_HELP =
  "Every unit of the index. Its label is the one with the largest correlation on one half of the sequences; r is the " +
  "correlation on the other half. A correlation is not an effect: the card shows what zeroing the unit does. Click a " +
  "heading to sort; move through the units with the arrow keys.";
const CARD_HELP =
  "Contexts where the unit is highest and lowest, and random ones, each word in the colour of the unit's value there. p " +
  "is the fraction of shifted labels that correlate at least as strongly. A unit is used for its label if zeroing it costs " +
  "most there, more than zeroing any unit of about the same size. A confirmed label does not mean that the unit has only " +
  "one job.";
const ROW = 30;
const SHAPE = { width: 80, height: 20 };

export function UnitsPanel() {
  const { store, corpus, view } = useApp();
  useEffect(() => corpus.readUnits(), []);
  const { table } = corpus;
  const order = useComputed(() =>
    corpus.table === null ? [] : arranged(corpus.table.columns, view.unitRows, view.unitFilter),
  );
  const csv = () => {
    if (table === null) return [];
    const keys = UNIT_COLUMNS.map(({ key }) => key).filter((key) => key !== "shape");
    return [keys, ...order.value.map((k) => keys.map((key) => String(table.columns[key][k] ?? "")))];
  };
  const [some, all] = [order.value, table?.columns.unit ?? []].map(({ length }) => length.toLocaleString("en"));
  const remembers = table?.columns.time_constant.some((value, k) => value !== null || table.columns.never_forgets[k]);
  return (
    <>
      <Panel
        {...{ id: "units", title: "Units", help: GALLERY_HELP, kind: remembers ? "with-memory" : "" }}
        exports={{ csv }}
        tools={
          <>
            <input
              {...{ type: "search", class: "filter units-filter", placeholder: "Filter: l1.h NOUN" }}
              {...{ value: view.unitFilter, "aria-label": "Filter units" }}
              onInput={({ currentTarget }) => store.set({ unitFilter: currentTarget.value })}
            />
            <span class="soft" role="status">
              {table && (some === all ? `${all} units` : `${some} of ${all} units`)}
            </span>
          </>
        }
      >
        {table ? (
          <Gallery table={table} order={order.value} />
        ) : (
          <Says kind="soft" text={corpus.problem || "Reading the index\u2026"} />
        )}
      </Panel>
      <Panel id="unit-card" title="One unit" help={CARD_HELP} hidden={table === null}>
        {table && <Card table={table} />}
      </Panel>
    </>
  );
}

function Gallery({ table: { columns }, order }: { table: UnitTable; order: number[] }) {
  const { store, view } = useApp();
  const address = unitAddress(view);
  return (
    <div class="units-gallery">
      <div class="unit-row units-head" role="group" aria-label="Sort units by">
        {UNIT_COLUMNS.map(({ key, title, about }) => {
          const way = view.unitRows === key ? "ascending" : view.unitRows === `-${key}` ? "descending" : undefined;
          return (
            <Button
              text={title}
              {...{ title: `${title}: ${about}. Sort by it.`, "data-key": key, "data-way": way }}
              aria-pressed={way !== undefined}
              press={() => store.set({ unitRows: way === "descending" ? key : `-${key}` })}
            />
          );
        })}
      </div>
      <VirtualList
        {...{ id: "units-list", label: "Units", of: order, count: order.length, height: ROW, kind: "unit-row" }}
        current={order.findIndex((k) => columns.unit[k] === address)}
        choose={(k) => store.set(parseAddress(columns.unit[order[k]]))}
        row={(k) => <Cells columns={columns} k={order[k]} />}
      />
    </div>
  );
}

function Cells({ columns, k }: { columns: UnitTable["columns"]; k: number }) {
  const { quantity } = parseAddress(columns.unit[k]);
  return (
    <>
      {UNIT_COLUMNS.map(({ key, write }) => (
        <span class={`unit-${key}`}>
          {key === "shape" ? (
            <Shape digits={columns.shape[k]} quantity={quantity} />
          ) : (
            write(columns[key][k], columns.never_forgets[k])
          )}
        </span>
      ))}
    </>
  );
}

/** A small histogram: each digit is the height of a bar. */
function Shape({ digits, quantity }: { digits: string; quantity: string }) {
  const { width, height } = SHAPE;
  const step = width / digits.length;
  const bars = [...digits].map(
    (digit, k) => `M${k * step} ${height}v${(-Number(digit) * height) / 9}h${step}V${height}z`,
  );
  return (
    <svg {...SHAPE} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
      <path d={bars.join("")} fill={quantityColour(quantity)} />
    </svg>
  );
}

interface UnitColumn {
  key: keyof UnitColumns;
  title: string;
  about: string;
  write: (value: any, neverForgets: boolean) => string;
}

const two = (value: number) => tick(value >= 0 ? `+${value.toFixed(2)}` : value.toFixed(2));

const UNIT_COLUMNS: UnitColumn[] = [
  { key: "unit", title: "Unit", about: "by layer and number", write: String },
  {
    ...{ key: "label", title: "Label", write: String },
    about: "the label it correlates with most, chosen on one half of the sequences",
  },
  {
    ...{ key: "held_out", title: "r", write: (value) => (value === null ? "\u2013" : two(value)) },
    about: "its correlation with the label on the other half, the largest first",
  },
  { key: "shape", title: "Distribution", about: "from its lowest possible value to its highest", write: () => "" },
  { key: "mean", title: "Mean", about: "over the corpus", write: two },
  { key: "deviation", title: "Spread", about: "the standard deviation", write: (value) => value.toFixed(2) },
  {
    ...{ key: "low", title: "Low", write: percent },
    about: `the fraction of steps below ${SHUT} for a gate, below ${tick(-OPEN)} otherwise`,
  },
  { key: "high", title: "High", about: `the fraction of steps above ${OPEN}`, write: percent },
  {
    ...{ key: "time_constant", title: "Memory", about: "the time constant in steps, if the forget gate was indexed" },
    write: (value, neverForgets) => (neverForgets ? "\u221e" : value === null ? "\u2013" : value.toFixed(1)),
  },
];

const SIGNED = new Set(["held_out", "chosen"]); // sorted by absolute value, because a strong negative correlation matters as well

/** The entries of units whose address or label has the words of a filter, by a column, or with "-" descending. */
function arranged(columns: UnitColumns, by: string, filter: string): number[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = columns.unit.map((unit, k) => `${unit} ${columns.label[k]}`.toLowerCase());
  const found = texts.flatMap((text, k) => (words.every((word) => text.includes(word)) ? [k] : []));
  const key = by.replace(/^-/, "");
  const known = UNIT_COLUMNS.some((column) => column.key === key);
  const values = columns[known ? (key as keyof UnitColumns) : "held_out"] as (string | number | null)[];
  const worth = (k: number) => {
    const value = key === "time_constant" && columns.never_forgets[k] ? Infinity : values[k];
    if (key === "unit") return columns.unit[k].replace(/\d+/g, (digits) => digits.padStart(7, "0"));
    if (typeof value === "number") return SIGNED.has(key) ? Math.abs(value) : value;
    return value ?? -Infinity;
  };
  const worths = new Map(found.map((k) => [k, worth(k)]));
  const sign = by.startsWith("-") ? -1 : 1;
  return found.sort((a, b) => {
    const [x, y] = [worths.get(a) ?? 0, worths.get(b) ?? 0];
    return x < y ? -sign : x > y ? sign : a - b;
  });
}
