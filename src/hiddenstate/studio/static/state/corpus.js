// Data about a corpus that comes from Python: its units, their cards, searches, and passages with a unit's values.

/** @typedef {import("studio/types.js").View} View */
/** @typedef {NonNullable<import("studio/types.js").Boot["index"]>} IndexAbout */

/**
 * All units of an index, by column: entry k of each column belongs to the same unit. The format is that of
 * CorpusPages.units.
 * @typedef {object} UnitTable
 * @property {UnitColumns} columns
 * @property {Record<string, number[]>} thresholds the thresholds whose bits are stored, by place
 */

/**
 * @typedef {object} UnitColumns
 * @property {string[]} unit addresses, "l1.c[125]"
 * @property {string[]} label the label that it goes with; "" if there are none
 * @property {(number | null)[]} chosen the correlation where the label was chosen
 * @property {(number | null)[]} held_out on the other half of the sequences; null: unknown
 * @property {number[]} mean
 * @property {number[]} deviation
 * @property {number[]} q05
 * @property {number[]} median
 * @property {number[]} q95
 * @property {number[]} lowest
 * @property {number[]} highest
 * @property {number[]} low the share of steps at which it is low
 * @property {number[]} high
 * @property {(number | null)[]} time_constant null: infinite, or the gate was not indexed
 * @property {boolean[]} never_forgets the time constant is infinite
 * @property {string[]} shape a small histogram: a digit for each bin
 */

/** @typedef {{unit: string, there: number, elsewhere: number}} ZeroEffect what zeroing a unit costs at its label, and elsewhere */

/**
 * The card of a unit, as UnitCard.to_dict returns it.
 * @typedef {object} UnitCard
 * @property {string} unit
 * @property {number} mean
 * @property {number} deviation
 * @property {[number, number][]} quantiles share and value
 * @property {number[]} histogram
 * @property {(number | null)[]} edges null: without a bound
 * @property {number} low
 * @property {number} high
 * @property {number | null} time_constant
 * @property {boolean} never_forgets
 * @property {[string, number][]} logits
 * @property {[string, number, number][]} tokens token, mean there, count
 * @property {string} label
 * @property {number | null} chosen
 * @property {number | null} held_out null: unknown
 * @property {number | null} p null: unknown
 * @property {string} cost_name
 * @property {ZeroEffect} effect
 * @property {ZeroEffect} held at its mean, in place of zero
 * @property {ZeroEffect[]} matched
 * @property {boolean} is_confirmed
 * @property {boolean} is_used
 * @property {string} verdict
 * @property {{kind: "top" | "bottom" | "random", shard: number, sequence: number, step: number, value: number}[]} contexts
 */

/** @typedef {[number, number, number, number]} Span shard, sequence, first step, and the one after the last */

/**
 * The result of a search, as Found.to_dict returns it, with the places of its first spans.
 * @typedef {object} Found
 * @property {string} query
 * @property {number} steps
 * @property {number} count
 * @property {number} matched_steps
 * @property {{text: string, steps: number, left: number, lift: number | null}[]} clauses
 * @property {Record<string, {share: number, base: number}>} labels
 * @property {string} reason why nothing matches
 * @property {number} cost steps that were run again
 * @property {Span[]} spans
 */

/** @typedef {{start: number, tokens: string[], labels: string[], values: number[]}} Passage part of a sequence, with the values of a unit */

const MOST_TOGETHER = 32; // maximum number of passages in one request
const MOST_STEPS = 256; // maximum number of steps in a passage
const MOST_KEPT = 4000; // passages kept in memory
const MOST_CARDS = 200;
const ADDRESS = /\bl\d+r?\.[a-z]+\[\d+\]/;

/**
 * The selected unit's address, as Python writes it.
 * @param {View} view
 * @returns {string} "l1.c[125]"; "" while nothing is selected
 */
export function addressOf({ track, quantity, unit }) {
  return track === "" || unit < 0 ? "" : `${track}.${quantity}[${unit}]`;
}

/**
 * @param {string} address
 * @returns {{track: string, quantity: string, unit: number}}
 */
export function unitOf(address) {
  const [, track, quantity, unit] = /** @type {RegExpMatchArray} */ (address.match(/^(\w+)\.(\w+)\[(\d+)\]$/));
  return { track, quantity, unit: Number(unit) };
}

/**
 * The first unit of a query.
 * @param {string} query
 * @returns {string} its address; "" if there is none
 */
export function firstUnit(query) {
  return query.match(ADDRESS)?.[0] ?? "";
}

/** The index of the page. Answers are cached. */
export class Corpus {
  /** @param {typeof import("studio/state/host.js")} host */
  constructor(host) {
    this.host = host;
    const boot = host.boot();
    /** @type {IndexAbout | null} */
    this.about = boot.index ?? null;
    this.served = boot.host === "server";
    /** @type {Promise<UnitTable> | null} */
    this.table = null;
    /** @type {Map<string, UnitCard>} */
    this.cards = new Map();
    /** @type {Map<string, Passage>} */
    this.kept = new Map();
  }

  /** @returns {string} why the pages of the index have nothing to show; "" if they have */
  get reason() {
    if (this.about === null) {
      return (
        "No index was opened. Make one with hiddenstate index MODEL FILES -o FOLDER, and open it with hiddenstate " +
        "studio MODEL --index FOLDER, or in Python with hs.studio(model, index=FOLDER).serve()."
      );
    }
    if (this.served) return "";
    return (
      `The index ${this.about.name} is too large for this page, so this needs a server: hiddenstate studio MODEL ` +
      "--index FOLDER, or in Python hs.studio(model, index=FOLDER).serve()."
    );
  }

  /** @returns {Promise<UnitTable>} */
  units() {
    this.table ??= this.host.ask("units.json", {});
    this.table.catch(() => (this.table = null));
    return this.table;
  }

  /**
   * @param {string} unit
   * @param {AbortSignal} signal
   * @returns {Promise<UnitCard>}
   */
  async card(unit, signal) {
    const known = this.cards.get(unit);
    if (known !== undefined) return known;
    /** @type {UnitCard} */
    const card = await this.host.ask("card.json", { unit }, signal);
    if (this.cards.size >= MOST_CARDS) this.cards.clear();
    this.cards.set(unit, card);
    return card;
  }

  /**
   * @param {string} query
   * @param {(done: number, total: number) => void} progress
   * @param {AbortSignal} signal
   * @returns {Promise<Found>}
   */
  async search(query, progress, signal) {
    for await (const line of this.host.follow("search", { query }, signal)) {
      if (line.found) return line.found;
      if (line.error) throw new Error(line.error);
      progress(line.done, line.total);
    }
    throw new Error("The studio ended before the search did. Reload the page; if it was stopped, start it again.");
  }

  /**
   * @param {string} unit
   * @param {Span} span
   * @returns {Passage | undefined} if it is known
   */
  passage(unit, span) {
    return this.kept.get(`${unit} ${span}`);
  }

  /**
   * Fetches the passages that are not cached yet.
   * @param {string} unit
   * @param {Span[]} spans
   */
  async fetchPassages(unit, spans) {
    const missing = spans.filter((span) => !this.kept.has(`${unit} ${span}`));
    for (let k = 0; k < missing.length; k += MOST_TOGETHER) {
      const some = missing.slice(k, k + MOST_TOGETHER);
      const written = some.map((span) => span.join(":")).join(",");
      /** @type {Passage[]} */
      const found = await this.host.ask("passages.json", { unit, spans: written });
      if (this.kept.size > MOST_KEPT) this.kept.clear();
      some.forEach((span, at) => this.kept.set(`${unit} ${span}`, found[at]));
    }
  }
}

/**
 * Extends a span by some steps on either side, as far as a passage may reach.
 * @param {Span} span
 * @param {number} around
 * @returns {Span}
 */
export function widened([shard, sequence, start, stop], around) {
  const first = Math.max(0, start - around);
  return [shard, sequence, first, Math.min(stop + around, first + MOST_STEPS)];
}

/**
 * @param {typeof import("studio/state/host.js")} host
 * @returns {Corpus}
 */
export function createCorpus(host) {
  return new Corpus(host);
}
