// Finds the moments of a run that the tour talks about.

import type { Track } from "studio/types.js";

/** One unit at one step, with its previous cell state. */
type Moment = { unit: number; t: number; i: number; f: number; g: number; o: number; c: number; before: number };

/** |c| at least, o at most */
type Bounds = { c: number; o: number };

export function momentAt({ info, values, initial }: Track, steps: number, unit: number, t: number): Moment {
  const H = info.units;
  const read = info.reverse ? t + 1 : t - 1;
  const before = read < 0 || read >= steps ? initial.c[unit] : values.c[read * H + unit];
  const [i, f, g, o, c] = ["i", "f", "g", "o", "c"].map((name) => values[name][t * H + unit]);
  return { unit, t, i, f, g, o, c, before };
}

/** The moment with the highest score. */
function best(track: Track, steps: number, score: (moment: Moment) => number): Moment {
  let found = momentAt(track, steps, 0, 0);
  for (let k = 0; k < steps * track.info.units; k++) {
    const moment = momentAt(track, steps, k % track.info.units, Math.floor(k / track.info.units));
    if (score(moment) > score(found)) found = moment;
  }
  return found;
}

/** A moment where both keeping and writing matter. */
export function mixed(track: Track, steps: number): Moment {
  return best(track, steps, ({ f, before, i, g }) => Math.min(Math.abs(f * before), Math.abs(i * g)));
}

/** A moment with a large cell state and a small output. */
export function silent(track: Track, steps: number): Moment {
  return best(track, steps, ({ c, o }) => Math.min(Math.abs(c), 1) * (1 - o));
}

export function isSilent({ c, o }: Moment, bounds: Bounds): boolean {
  return Math.abs(c) >= bounds.c && o <= bounds.o;
}

/** Bounds for a "secret" that this run can satisfy. */
export function silentBounds(track: Track, steps: number): Bounds {
  const found = silent(track, steps);
  const offers = [
    { c: 0.5, o: 0.1 },
    { c: 0.5, o: 0.25 },
    { c: 0.2, o: 0.4 },
  ];
  return (
    offers.find((bounds) => isSilent(found, bounds)) ?? { c: Math.abs(found.c) * 0.9, o: Math.min(1, found.o * 1.1) }
  );
}

/** Thresholds for nearly open and nearly closed forget gates in a run. */
export function forgetBounds({ values }: Track): { high: number; low: number } {
  let [high, low] = [0, 1];
  for (const f of values.f) [high, low] = [Math.max(high, f), Math.min(low, f)];
  return { high: Math.min(0.9, Math.floor(high * 100) / 100), low: Math.max(0.1, Math.ceil(low * 100) / 100) };
}
