// Data about a corpus that comes from Python: its units, their cards, searches, and passages with a unit's values.

import { MOST_PASSAGES, MOST_PASSAGE_STEPS } from "studio/facts.js";
import { reactive } from "studio/state/reactive.js";
import type { Boot, Model, View } from "studio/types.js";

type IndexAbout = NonNullable<Boot["index"]>;

/** All units of an index, by column, in which entry k belongs to the same unit; see IndexAnswers.units. */
export interface UnitTable {
  columns: UnitColumns;
  thresholds: Record<string, number[]>; // the thresholds whose bits are stored, by place
}

export interface UnitColumns {
  unit: string[]; // addresses, "l1.c[125]"
  label: string[]; // the label that it goes with; "" if there are none
  chosen: (number | null)[]; // the correlation where the label was chosen
  held_out: (number | null)[]; // on the other half of the sequences; null: unknown
  mean: number[];
  deviation: number[];
  median: number[];
  lowest: number[];
  highest: number[];
  low: number[]; // the share of steps at which it is low
  high: number[];
  time_constant: (number | null)[]; // null: infinite, or the gate was not indexed
  never_forgets: boolean[]; // the time constant is infinite
  shape: string[]; // a small histogram: a digit for each bin
}

/** what zeroing a unit costs at its label, and elsewhere */
type ZeroEffect = { unit: string; there: number; elsewhere: number };

/** The card of a unit, as UnitCard.to_dict returns it. */
export interface UnitCard {
  unit: string;
  mean: number;
  deviation: number;
  quantiles: [number, number][]; // share and value
  histogram: number[];
  edges: (number | null)[]; // null: without a bound
  low: number;
  high: number;
  time_constant: number | null;
  never_forgets: boolean;
  logits: [string, number][];
  tokens: [string, number, number][]; // token, mean there, count
  label: string;
  chosen: number | null;
  held_out: number | null; // null: unknown
  p: number | null; // null: unknown
  cost_name: string;
  effect: ZeroEffect;
  held: ZeroEffect; // at its mean, in place of zero
  matched: ZeroEffect[];
  is_confirmed: boolean;
  is_used: boolean;
  verdict: string;
  contexts: { kind: "top" | "bottom" | "random"; shard: number; sequence: number; step: number; value: number }[];
}

/** shard, sequence, first step, and the one after the last */
export type Span = [number, number, number, number];

/** The result of a search, as Found.to_dict returns it, with the places of its first spans. */
export interface Found {
  query: string;
  steps: number;
  count: number;
  matched_steps: number;
  clauses: { text: string; steps: number; left: number; lift: number | null }[];
  labels: Record<string, { share: number; base: number }>;
  reason: string; // why nothing matches
  cost: number; // steps that were run again
  spans: Span[];
}

/** part of a sequence, with the values of a unit */
type Passage = { start: number; tokens: string[]; labels: string[]; values: number[] };

const MOST_KEPT = 4000; // passages kept in memory
const MOST_CARDS = 200;
const ADDRESS = /\bl\d+r?\.[a-z]+\[\d+\]/;

/** The selected unit's address, as Python writes it; returns "l1.c[125]"; "" while nothing is selected. */
export const unitAddress = ({ track, quantity, unit }: View): string =>
  track === "" || unit < 0 ? "" : `${track}.${quantity}[${unit}]`;

export function parseAddress(address: string): { track: string; quantity: string; unit: number } {
  const [, track, quantity, unit] = address.match(/^(\w+)\.(\w+)\[(\d+)\]$/) as RegExpMatchArray;
  return { track, quantity, unit: Number(unit) };
}

/** The thresholds of a unit whose bits are stored, from low to high. */
export const storedThresholds = ({ thresholds }: UnitTable, address: string): number[] =>
  thresholds[address.replace(/\[.*/, "")] ?? [];

/** The first unit of a query; returns its address; "" if there is none. */
export const firstUnit = (query: string): string => query.match(ADDRESS)?.[0] ?? "";

/** The index of the page. Answers are cached. Components follow `table`, `problem` and the passages. */
export class Corpus {
  about: IndexAbout | null;
  served: boolean;
  table!: UnitTable | null; // null until it is read
  problem!: string; // why it could not be read
  cards = new Map<string, UnitCard>();
  kept = new Map<string, Passage>();
  fetched!: number; // how often passages came

  constructor(private host: typeof import("studio/state/host.js")) {
    const boot = host.boot();
    this.about = boot.index ?? null;
    this.served = boot.host === "server";
    reactive<Corpus, "table" | "problem" | "fetched">(this, { table: null, problem: "", fetched: 0 });
  }

  /** @returns why the pages of the index have nothing to show; "" if they have */
  get reason(): string {
    if (this.about === null)
      return (
        "No index was opened. Make one with hiddenstate index MODEL FILES -o FOLDER, and open it with hiddenstate " +
        "studio MODEL --index FOLDER, or in Python with hs.studio(model, index=FOLDER).serve()."
      );
    if (this.served) return "";
    return (
      `The index ${this.about.name} is too large for this page, so this needs a server: hiddenstate studio MODEL ` +
      "--index FOLDER, or in Python hs.studio(model, index=FOLDER).serve()."
    );
  }

  /** Reads the table of units, unless that is done. */
  readUnits() {
    if (this.table !== null) return;
    this.host.ask("units.json", {}).then(
      (table) => (this.table ??= table),
      (error) => (this.problem = error.message),
    );
  }

  async card(unit: string, signal: AbortSignal): Promise<UnitCard> {
    const known = this.cards.get(unit);
    if (known !== undefined) return known;
    const card: UnitCard = await this.host.ask("card.json", { unit }, signal);
    if (this.cards.size >= MOST_CARDS) this.cards.clear();
    this.cards.set(unit, card);
    return card;
  }

  async search(query: string, progress: (done: number, total: number) => void, signal: AbortSignal): Promise<Found> {
    for await (const line of this.host.follow("search", { query }, signal)) {
      if (line.found) return line.found;
      if (line.error) throw new Error(line.error);
      progress(line.done, line.total);
    }
    throw new Error("The studio ended before the search did. Reload the page; if it was stopped, start it again.");
  }

  /** The passage, if it has been fetched. */
  passage(unit: string, span: Span): Passage | undefined {
    void this.fetched;
    return this.kept.get(`${unit} ${span}`);
  }

  /** Fetches the passages that are not cached yet. */
  async fetchPassages(unit: string, spans: Span[]) {
    const missing = spans.filter((span) => !this.kept.has(`${unit} ${span}`));
    for (let k = 0; k < missing.length; k += MOST_PASSAGES) {
      const some = missing.slice(k, k + MOST_PASSAGES);
      const written = some.map((span) => span.join(":")).join(",");
      const found: Passage[] = await this.host.ask("passages.json", { unit, spans: written });
      if (this.kept.size > MOST_KEPT) this.kept.clear();
      some.forEach((span, at) => this.kept.set(`${unit} ${span}`, found[at]));
      this.fetched += 1;
    }
  }
}

/** Extends a span by some steps on either side, more if they are characters, as far as a passage may reach. */
export function widened([shard, sequence, start, stop]: Span, unit: Model["unit"] | undefined): Span {
  const around = unit === "character" ? 40 : 10;
  const first = Math.max(0, start - around);
  return [shard, sequence, first, Math.min(stop + around, first + MOST_PASSAGE_STEPS)];
}
