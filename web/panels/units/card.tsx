// The card of the selected unit, with its behaviour over the corpus and the effect of zeroing it.

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { UnitCard, UnitTable } from "studio/state/corpus.js";
import { storedThresholds, unitAddress, widened, parseAddress } from "studio/state/corpus.js";
import { shownToken } from "studio/state/run.js";
import { useApp } from "studio/ui/app.js";
import { exactly, percent, tick } from "studio/ui/draw.js";
import { Button, Says, Segments, Table } from "studio/ui/form.js";
import { PassageLine } from "studio/ui/passage.js";
import { quantityColour } from "studio/ui/scales.js";
import { ANCHORS } from "studio/ui/stage.js";

const REST = 200; // milliseconds to wait before requesting a card, in case the user is moving through the gallery

type Kind = UnitCard["contexts"][number]["kind"];
const KINDS: { value: Kind; text: string; title: string }[] = [
  { value: "top", text: "Highest", title: "One context of each of the sequences where it is highest" },
  { value: "bottom", text: "Lowest", title: "Where it is lowest" },
  { value: "random", text: "Random", title: "Contexts drawn at random; without them, the others are misleading" },
];

export function Card({ table }: { table: UnitTable }) {
  const { store, corpus, view } = useApp();
  const shown = useSignal<UnitCard | null>(null);
  const message = useSignal("");
  const address = useComputed(() => (view.page === "units" ? unitAddress(view) : ""));
  useSignalEffect(() => {
    const unit = address.value;
    if (unit === "") return;
    const control = new AbortController();
    const show = (card: UnitCard | null, text: string) => {
      if (control.signal.aborted) return;
      shown.value = card;
      message.value = text;
    };
    const ask = () =>
      corpus.card(unit, control.signal).then(
        (card) => show(card, ""),
        (error) => show(null, error instanceof Error ? error.message : String(error)),
      );
    const ready = corpus.cards.get(unit);
    if (ready) return show(ready, "");
    message.value = `${unit}: running parts of the corpus again\u2026`;
    const timer = setTimeout(ask, REST);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  });
  const card = shown.value;
  return (
    <div class="unit-card-place">
      <Says kind="soft unit-says" text={message} />
      <div class="unit-card">
        {card && (
          <>
            <div class="unit-top">
              <h3>{card.unit}</h3>
              <Button
                text="Read with it"
                title="Look at this unit in the sentence on the Read page"
                press={() => store.set({ page: "read" })}
              />
              <Button
                text="Search for it"
                title="Where in the corpus it is high"
                press={() => store.set({ page: "search", query: highQuery(card, table) })}
              />
            </div>
            <p class="soft">{numbersText(card)}</p>
            <Histogram card={card} />
            <Contexts card={card} />
            <section class="unit-part">
              {card.label !== "" && <Tested card={card} />}
              <p class="unit-verdict">{card.verdict}</p>
              <Effects card={card} />
            </section>
            <Pairs title="Mean at tokens" pairs={card.tokens.map(([token, value]) => [token, value])} />
            <Pairs title="Outputs that rise most with one more standard deviation" pairs={card.logits} />
          </>
        )}
      </div>
    </div>
  );
}

/** A query that finds where a unit is high: above a stored threshold, if there is one that it sometimes exceeds. */
function highQuery({ unit, quantiles }: UnitCard, table: UnitTable): string {
  const high = Object.fromEntries(quantiles)[0.95] ?? 0;
  const stored = storedThresholds(table, unit).filter((threshold) => threshold < high);
  return `${unit} > ${stored.at(-1) ?? Number(high.toFixed(2))}`;
}

const numbersText = ({ mean, deviation, low, high, time_constant: time, never_forgets: neverForgets }: UnitCard) =>
  [
    `mean ${exactly(mean)}`,
    `standard deviation ${deviation.toFixed(3)}`,
    `low ${percent(low)}, high ${percent(high)}`,
    ...(neverForgets ? ["never forgets"] : time === null ? [] : [`remembers for ${time.toFixed(1)} steps`]),
  ].join(", ");

function Tested({ card: { label, is_confirmed: isConfirmed, is_used: isUsed, held_out: r, p } }: { card: UnitCard }) {
  const verdict = !isConfirmed ? "not confirmed" : isUsed ? "used for it" : "correlated, but not shown to be used";
  const numbers = [r !== null && `r = ${exactly(r)} on held-out sequences`, p !== null && `p = ${p.toFixed(4)}`];
  return (
    <p class="unit-tested">
      <span class={`unit-tag ${isConfirmed && isUsed ? "yes" : "no"}`}>{`${label}: ${verdict}`}</span>{" "}
      {numbers.filter(Boolean).join(", ")}
    </p>
  );
}

const Pairs = ({ title, pairs }: { title: string; pairs: [string, number][] }) => (
  <section class="unit-part" hidden={pairs.length === 0}>
    <h4>{title}</h4>
    <ul class="unit-pairs">
      {pairs.map(([name, value]) => (
        <li>
          <b>{shownToken(name)}</b>
          <span class="number">{exactly(value)}</span>
        </li>
      ))}
    </ul>
  </section>
);

/** Lines of coloured words: where the unit is highest, where it is lowest, and random ones. */
function Contexts({ card }: { card: UnitCard }) {
  const { corpus, session } = useApp();
  const kind = useSignal<Kind>("top");
  const problem = useSignal("");
  const step = session.model?.unit;
  const contexts = card.contexts.filter((context) => context.kind === kind.value);
  const spans = contexts.map(({ shard, sequence, step: t }) => widened([shard, sequence, t, t + 1], step));
  useEffect(() => {
    problem.value = "";
    corpus.fetchPassages(card.unit, spans).catch((error) => (problem.value = error.message));
  }, [card, kind.value, step]);
  return (
    <section class="unit-part">
      <Segments label="Contexts" options={KINDS} value={kind.value} choose={(value) => (kind.value = value)} />
      <ol class="unit-contexts">
        {problem.value !== "" ? (
          <li class="problem">{problem}</li>
        ) : (
          contexts.map(({ step, value }, k) => (
            <li>
              <span class="number unit-context-value">{exactly(value)}</span>
              <PassageLine {...{ unit: card.unit, span: spans[k], start: step, stop: step + 1 }} />
            </li>
          ))
        )}
      </ol>
    </section>
  );
}

const SIZE = { width: 360, height: 96, foot: 16 };

function Histogram({ card: { unit, histogram, edges, quantiles, mean } }: { card: UnitCard }) {
  const { width, height, foot } = SIZE;
  const most = Math.max(...histogram, 1);
  const total = histogram.reduce((sum, count) => sum + count, 0);
  const [step, room] = [width / histogram.length, height - foot - 4];
  const shares = quantiles.map(([share, value]) => `${Math.round(share * 100)} % below ${exactly(value)}`);
  return (
    <svg
      {...{ class: "unit-distribution", viewBox: `0 0 ${width} ${height}`, role: "img" }}
      aria-label={`Distribution of ${unit}: mean ${exactly(mean)}, ${shares.join(", ")}`}
    >
      <g fill={quantityColour(parseAddress(unit).quantity)}>
        {histogram.map((count, k) => {
          const high = (count / most) * room;
          return (
            <rect x={k * step + 0.5} y={height - foot - high} width={step - 1} height={high}>
              <title>
                {`${edge(edges[k])} to ${edge(edges[k + 1])}: ${((100 * count) / Math.max(total, 1)).toFixed(1)} %`}
              </title>
            </rect>
          );
        })}
      </g>
      <line x1={0} x2={width} y1={height - foot} y2={height - foot} class="axis" />
      {[0, histogram.length / 2, histogram.length].map((at, k) => (
        <text {...{ x: (k * width) / 2, y: height - 3, class: "legend-tick" }} text-anchor={ANCHORS[k]}>
          {edge(edges[at])}
        </text>
      ))}
    </svg>
  );
}

/** @param value null: no bound */
const edge = (value: number | null) => (value === null ? "no bound" : tick(Number(value.toPrecision(3))));

/** The cost of zeroing the unit compared with units of the same size, two bars each. */
function Effects({ card: { effect, held, matched, label, cost_name: cost } }: { card: UnitCard }) {
  const all = [effect, { ...held, unit: "held at its mean" }, ...matched];
  const most = Math.max(...all.flatMap(({ there, elsewhere }) => [Math.abs(there), Math.abs(elsewhere)]), 1e-12);
  const bar = (value: number) => (
    <>
      <span class={`effect-bar${value < 0 ? " gain" : ""}`} style={{ width: `${(62 * Math.abs(value)) / most}px` }} />
      <span class="number">{exactly(value)}</span>
    </>
  );
  return (
    <Table
      {...{ class: "unit-effects", isNamed: true, rowKind: (k) => (k < 2 ? "own" : "") }}
      caption={`${cost[0].toUpperCase()}${cost.slice(1)}, on average: this unit, and units of about the same size`}
      rows={[
        ["If zeroed", ...(label === "" ? ["everywhere"] : [`at ${label}`, "elsewhere"])],
        ...all.map(({ unit, there, elsewhere }) => [unit, ...(label === "" ? [] : [bar(there)]), bar(elsewhere)]),
      ]}
    />
  );
}
